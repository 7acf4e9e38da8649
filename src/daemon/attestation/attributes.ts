import { stat } from 'node:fs/promises'
import { environmentNameOf } from '#model/selectors'
import type { BinaryHashes } from './binary-hash.ts'
import { parseCommandLine, parseEnvironment, systemdUnit } from './proc-text.ts'
import {
  isGone,
  readPin,
  ProcessDirectory,
  type Executable,
  type PinnedProcess,
} from './process-directory.ts'

const maxEnvironmentBytes = 1024 * 1024
const maxAncestors = 32

/**
 * Whether the executable is the file that its path names in our own mount namespace.
 * SECURITY: in a mount namespace of their own anyone can bind another file over /usr/bin/curl (security rule 9).
 */
async function isHostFile({ path, stat: own }: Pick<Executable, 'path' | 'stat'>): Promise<boolean> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return dev === own?.device && ino === own.inode
  } catch {
    return false
  }
}

interface Source {
  readonly directory: ProcessDirectory
  readonly executable: Executable
  readonly process: PinnedProcess
}

/** What both a process and its ancestors are known by; keys without their `process:` prefix. */
async function ownAttributes(
  { directory, executable, process }: Source,
  hashes: BinaryHashes | undefined,
): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  found.set('name', (await directory.read('comm')).replace(/\n$/, ''))
  found.set('cmdline', parseCommandLine(await directory.read('cmdline')))
  if (process.plainUid !== undefined) found.set('uid', String(process.plainUid))
  if (process.plainGid !== undefined) found.set('gid', String(process.plainGid))
  if (await isHostFile(executable)) found.set('binary:path', executable.path)
  const hash = await hashes?.hash(executable)
  if (hash !== undefined) found.set('binary:hash', hash)
  return found
}

async function environmentAttributes(
  directory: ProcessDirectory,
  names: readonly string[],
): Promise<[string, string[]][]> {
  if (names.length === 0) return []
  const variables = parseEnvironment(await directory.read('environ', maxEnvironmentBytes))
  return names.flatMap((name): [string, string[]][] => {
    const value = variables.get(name)
    return value === undefined ? [] : [[`process:env:${name}`, [value]]]
  })
}

/** Values over all ancestors that can be read; those of pid 1 and above its namespace included. */
async function ancestorAttributes(
  start: number,
  hashes: BinaryHashes | undefined,
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  let parent = start
  for (let depth = 0; depth < maxAncestors && parent > 0; depth++) {
    await using directory = await ProcessDirectory.open(parent)
    if (!directory) break
    try {
      await using executable = await directory.openExecutable()
      const process = await readPin(directory, executable, undefined)
      for (const [key, value] of await ownAttributes({ directory, executable, process }, hashes)) {
        const name = `process:ancestor:${key}`
        const values = found.get(name) ?? []
        if (!values.includes(value)) found.set(name, [...values, value])
      }
    } catch (error) {
      // An ancestor that we may not read, or that is a kernel thread, has no attributes to match.
      const { code } = error as NodeJS.ErrnoException
      if (!isGone(error) && code !== 'EACCES' && code !== 'EPERM') throw error
    }
    parent = directory.stat.parentPid
  }
  return found
}

/** What selectors ask for: what costs much to read (hashes, environment, ancestors) is read only for a key of it. */
export interface Wanted {
  readonly keys: ReadonlySet<string>
  /** By which executables are named. */
  readonly paths: readonly string[]
}

/**
 * The path of a host's executable, with those of `paths` that lead to the same file: a selector may name it by a link,
 * and what counts is the file (security rule 9).
 */
async function allPaths({ path, stat: own }: Executable, paths: readonly string[]): Promise<string[]> {
  const found = [path]
  for (const other of paths) {
    if (other !== path && (await isHostFile({ path: other, stat: own }))) found.push(other)
  }
  return found
}

/** The selector attributes of a process. */
export async function collectAttributes(
  source: Source,
  wanted: Wanted,
  hashes: BinaryHashes,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const { keys, paths } = wanted
  const own = await ownAttributes(source, keys.has('process:binary:hash') ? hashes : undefined)
  const found = new Map([...own].map(([key, value]) => [`process:${key}`, [value]]))
  // SECURITY: one without a path in the host's mount namespace gets none.
  if (own.has('binary:path')) found.set('process:binary:path', await allPaths(source.executable, paths))
  const { cgroup, pin } = source.process
  if (cgroup.unified !== undefined) found.set('process:cgroup', [cgroup.unified, String(pin.cgroupId)])
  const unit = cgroup.systemd === undefined ? undefined : systemdUnit(cgroup.systemd)
  if (unit !== undefined) found.set('systemd:unit', [unit])
  const names = [...keys].flatMap((key) => environmentNameOf(key) ?? [])
  for (const [key, values] of await environmentAttributes(source.directory, names)) found.set(key, values)
  if ([...keys].some((key) => key.startsWith('process:ancestor:'))) {
    const ancestorHashes = keys.has('process:ancestor:binary:hash') ? hashes : undefined
    const parent = source.directory.stat.parentPid
    for (const [key, values] of await ancestorAttributes(parent, ancestorHashes)) found.set(key, values)
  }
  return found
}
