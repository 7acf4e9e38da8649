import { readFileSync } from 'node:fs'
import { Fault } from '#base/errors'

/** One setting: `parse` turns the text or YAML value into the typed one and throws `TypeError` when it cannot. */
export interface SettingSpec<T> {
  parse(value: unknown): T
  default: T
  /** What it means, for `--help`: the option is the key in kebab case. */
  readonly help?: string
  /** Placeholder of its value in help, such as `FILE`; absent for switches. */
  readonly placeholder?: string
}

export type SettingsOf<Specs> = {
  readonly [K in keyof Specs]: Specs[K] extends SettingSpec<infer T> ? T : never
}

/** `publicUrl` -> `TIDEWAY_PUBLIC_URL`. */
function environmentName(key: string): string {
  return `TIDEWAY_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** What a file of settings holds. */
export interface SettingsFile {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
}

/** Reads a YAML file, if one is named; its keys are not looked at yet. @throws Fault SETTING_INVALID */
export async function readSettingsFile(path: string | undefined): Promise<SettingsFile | undefined> {
  if (path === undefined) return undefined
  // Loaded where a file is read: it takes 4 MiB, and most processes of a node have none to read.
  const { parse } = await import('yaml')
  let value: unknown
  try {
    value = parse(readFileSync(path, 'utf8')) ?? {}
  } catch (error) {
    throw new Fault('SETTING_INVALID', `settings file ${path}: ${(error as Error).message}`, { cause: error })
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new Fault('SETTING_INVALID', `settings file ${path}: a mapping is expected`)
  }
  return { path, values: value as Record<string, unknown> }
}

/**
 * Merges the layers. `flags` holds what the command line gave (undefined = not given).
 * @throws Fault SETTING_INVALID naming the key and the layer it came from.
 */
export function resolveSettings<Specs extends Record<string, SettingSpec<unknown>>>(
  specs: Specs,
  layers: {
    flags?: Readonly<Record<string, unknown>>
    env?: NodeJS.ProcessEnv
    file?: SettingsFile | undefined
  },
): SettingsOf<Specs> {
  const { flags = {}, env = {}, file } = layers
  const fromFile = file?.values ?? {}
  for (const key of Object.keys(fromFile)) {
    if (!Object.hasOwn(specs, key)) {
      throw new Fault('SETTING_INVALID', `settings file ${file?.path}: unknown key ${JSON.stringify(key)}`, {
        hint: `known keys: ${Object.keys(specs).sort().join(', ')}`,
      })
    }
  }
  const result: Record<string, unknown> = {}
  for (const [key, spec] of Object.entries(specs)) {
    const candidates: [string, unknown][] = [
      ['flag', flags[key]],
      [`environment variable ${environmentName(key)}`, env[environmentName(key)]],
      [`settings file ${file?.path}`, fromFile[key]],
    ]
    const given = candidates.find(([, value]) => value !== undefined)
    if (!given) {
      result[key] = spec.default
      continue
    }
    try {
      result[key] = spec.parse(given[1])
    } catch (error) {
      throw new Fault('SETTING_INVALID', `${given[0]}: ${key}: ${(error as Error).message}`, { cause: error })
    }
  }
  return Object.freeze(result) as SettingsOf<Specs>
}
