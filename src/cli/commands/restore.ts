import { Command, Option } from 'commander'
import { readSettingsFile, resolveSettings } from '#base/settings'
import type { Cli } from './cli.ts'

interface Flags {
  readonly settings?: string
  readonly replace?: boolean
  readonly dataDir?: string
  readonly store?: string
  readonly storePasswordFile?: string
}

export async function restoreCommand({ env, terminal }: Cli): Promise<Command> {
  const { restoreBackup, serverSettings } = await import('#server/program')
  const place = (option: string, { placeholder, help }: { placeholder?: string; help?: string }) =>
    new Option(`${option} <${placeholder}>`, help)
  return new Command('restore')
    .description('Put a backup into the store of a server that is not running, all of it or nothing')
    .argument('<FILE>', 'what `tideway backup` has written')
    .option('--settings <FILE>', 'YAML file of the settings of the server')
    .addOption(place('--data-dir', serverSettings.dataDir))
    .addOption(place('--store', serverSettings.store))
    .addOption(place('--store-password-file', serverSettings.storePasswordFile))
    .option('--replace', 'even where the store holds something, which is lost')
    .action(async (file: string, { settings: settingsFile, replace = false, ...flags }: Flags) => {
      const settings = resolveSettings(serverSettings, {
        flags: { ...flags },
        env,
        file: await readSettingsFile(settingsFile),
      })
      const { entries, createdAt, into, sealingKeyFile } = await restoreBackup(settings, {
        file,
        replace,
        credentialsDirectory: env['CREDENTIALS_DIRECTORY'],
        passFile: env['PGPASSFILE'],
      })
      terminal.say(`${entries} entries of ${createdAt} are restored into ${into}
before a server starts: the sealing key of the server that was backed up must be in ${sealingKeyFile}`)
    })
}
