import { Command, Option } from 'commander'
import { readSettingsFile, resolveSettings, type SettingsOf, type SettingSpec } from '#base/settings'
import type { Cli } from './cli.ts'

type Specs = Record<string, SettingSpec<unknown>>

function optionName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function shownDefault(value: unknown): string | undefined {
  if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) return undefined
  if (typeof value === 'string' || typeof value === 'number' || value === true) return String(value)
  const { host, port } = value as { host?: unknown; port?: unknown }
  return typeof host === 'string' ? `${host}:${String(port)}` : undefined
}

function optionOf(key: string, spec: SettingSpec<unknown>): Option {
  const { placeholder, help = '' } = spec
  const option = new Option(placeholder ? `${optionName(key)} <${placeholder}>` : optionName(key), help)
  const fallback = shownDefault(spec.default)
  // The default is only shown: an option that was not given must not hide environment and file.
  if (fallback !== undefined) option.description += ` (default: ${fallback})`
  if (Array.isArray(spec.default))
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
  return option
}

/**
 * The command of a program of ours: one option per setting, `--settings FILE` for a file of them, and `run` with
 * what came out. The table of settings is loaded only when help or the program is asked for.
 */
export function programCommand<S extends Specs>(
  { env }: Cli,
  name: string,
  description: string,
  specs: S,
  run: (settings: SettingsOf<S>) => Promise<void>,
): Command {
  const command = new Command(name).description(description)
  command.option('--settings <FILE>', 'YAML file of settings: keys as below in camel case')
  for (const [key, spec] of Object.entries(specs)) command.addOption(optionOf(key, spec))
  command.addHelpText(
    'after',
    `\nEach setting can also be given as an environment variable: ${optionName('logLevel')} as TIDEWAY_LOG_LEVEL.`,
  )
  return command.action(
    async ({ settings: path, ...flags }: { settings?: string } & Record<string, unknown>) => {
      const file = await readSettingsFile(path)
      await run(resolveSettings(specs, { flags, env, file }))
    },
  )
}
