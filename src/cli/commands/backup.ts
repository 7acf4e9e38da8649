import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Command } from 'commander'
import { Fault, isFault } from '#base/errors'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

async function writeBackup(cli: Cli, file: string): Promise<void> {
  const { readBackup } = await import('#server/program')
  const { signal, terminal } = cli
  const body = await openApi(cli).backup({ signal })
  // One name, so that what was left by a backup that was killed goes with the next.
  const temporary = `${file}.partial`
  try {
    await rm(temporary, { force: true })
    // SECURITY: for its owner only, from the first byte on.
    await pipeline(
      Readable.from(body),
      createWriteStream(temporary, { mode: 0o600, flags: 'wx', flush: true }),
      {
        signal,
      },
    )
    // What cannot be read back is no backup: it never takes the place of an earlier one.
    const { entries, revision } = await readBackup(temporary)
    await rename(temporary, file)
    terminal.say(`${entries.length} entries as of revision ${revision} are in ${file}
what is sealed in it needs the sealing key of the server: keep a copy of that, and not beside this file`)
  } catch (error) {
    await rm(temporary, { force: true })
    if (isFault(error) || signal.aborted) throw error
    throw new Fault('SETTING_INVALID', `${file}: ${(error as Error).message}`, {
      hint: 'no backup was made; one that was there before is as it was',
      cause: error,
    })
  }
}

export function backupCommand(cli: Cli): Command {
  return new Command('backup')
    .description('Write everything that the control plane keeps, as it is at one moment, while it goes on')
    .argument('<FILE>', 'the backup; replaces one that is there')
    .action((file: string) => writeBackup(cli, file))
}
