import { readFileSync, statSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { Fault } from '#base/errors'

/** Where the cgroup v2 hierarchy is mounted, from the text of a mountinfo; undefined when it is not. */
export function cgroupMountIn(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [mount, filesystem] = line.split(' - ', 2)
    if (filesystem?.startsWith('cgroup2 ')) {
      return mount!
        .split(' ')[4]!
        .replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    }
  }
  return undefined
}

/** Where this process sees the cgroup v2 hierarchy. @throws Fault CAPTURE_UNAVAILABLE when nowhere */
export function cgroupMount(): string {
  const mount = cgroupMountIn(readFileSync('/proc/self/mountinfo', 'utf8'))
  if (mount === undefined) throw new Fault('CAPTURE_UNAVAILABLE', 'no cgroup v2 hierarchy is mounted')
  return mount
}

export interface Cgroup {
  readonly path: string
  /** The kernel's id, which is the inode of the directory. */
  readonly id: bigint
  /** Depth below the root, which has 0. */
  readonly level: number
}

/** @throws Fault SETTING_INVALID when `path` is not a cgroup of the mounted hierarchy */
export function cgroupAt(path: string): Cgroup {
  const absolute = resolve(path)
  const below = relative(cgroupMount(), absolute)
  const stats = statSync(absolute, { bigint: true, throwIfNoEntry: false })
  if (!stats?.isDirectory() || below.startsWith('..')) {
    throw new Fault('SETTING_INVALID', `${path} is not a cgroup v2 directory`)
  }
  return { path: absolute, id: stats.ino, level: below === '' ? 0 : below.split('/').length }
}
