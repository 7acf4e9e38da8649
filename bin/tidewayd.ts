// The daemon alone: what a node needs and nothing of server, emulator or CLI.
import process from 'node:process'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { isFault } from '#base/errors'
import { runProgram } from '#base/lifecycle'
import { readSettingsFile, resolveSettings } from '#base/settings'
import { daemonSettings, runDaemon } from '#daemon/program'

type Key = keyof typeof daemonSettings
const keys = Object.keys(daemonSettings) as Key[]
const optionOf = (key: Key) => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
const isSwitch = (key: Key) => daemonSettings[key].placeholder === undefined
const isList = (key: Key) => Array.isArray(daemonSettings[key].default)

function usage(): string {
  const lines = keys.map((key) => {
    const { placeholder, help } = daemonSettings[key]
    const option = placeholder === undefined ? '' : ` <${placeholder}>`
    return `  --${optionOf(key)}${option}\n      ${help}`
  })
  return `Usage: tidewayd [options]\n\n  --settings <FILE>\n      YAML file of settings\n${lines.join('\n')}\n`
}

async function main(args: readonly string[]): Promise<number> {
  const options: NonNullable<ParseArgsConfig['options']> = {
    help: { type: 'boolean', short: 'h' },
    settings: { type: 'string' },
  }
  for (const key of keys) {
    options[optionOf(key)] = isSwitch(key) ? { type: 'boolean' } : { type: 'string', multiple: isList(key) }
  }
  const { values } = parseArgs({ args: [...args], options })
  if (values['help']) {
    process.stdout.write(usage())
    return 0
  }
  const flags = Object.fromEntries(keys.map((key) => [key, values[optionOf(key)]]))
  const file = await readSettingsFile(values['settings'] as string | undefined)
  const settings = resolveSettings(daemonSettings, { flags, env: process.env, file })
  await runProgram(({ signal }) => runDaemon(settings, { signal }))
  return 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const hint = isFault(error) && error.hint ? ` (${error.hint})` : ''
  process.stderr.write(`tidewayd: ${(error as Error).message}${hint}\n`)
  process.exitCode = 1
}
