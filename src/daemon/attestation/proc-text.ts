/** Pure readers of the text of /proc (proc(5)). They give undefined for what is not there. */

export interface StatFields {
  /** A letter: `Z` once it has ended and nobody has taken note. */
  readonly state: string
  readonly parentPid: number
  readonly startTicks: bigint
}

/** /proc/PID/stat. The name in parentheses may hold anything, so fields are counted from its last parenthesis. */
export function parseStat(text: string): StatFields | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ') // starts with field 3
  const state = fields[0]!
  const parentPid = fields[1]
  const startTicks = fields[19]
  if (parentPid === undefined || !/^\d+$/.test(startTicks ?? '')) return undefined
  return { state, parentPid: Number(parentPid), startTicks: BigInt(startTicks!) }
}

/** The real, effective, saved and file system ids of a line `Uid:` or `Gid:` of /proc/PID/status. */
export function parseIds(status: string, label: 'Uid' | 'Gid'): readonly number[] | undefined {
  const match = new RegExp(`^${label}:\\t(\\d+)\\t(\\d+)\\t(\\d+)\\t(\\d+)$`, 'm').exec(status)
  return match?.slice(1).map(Number)
}

export interface CgroupPaths {
  /** Path in the cgroup v2 hierarchy. */
  readonly unified?: string
  /** Path that systemd manages: v2, or its own named hierarchy on hybrid systems. */
  readonly systemd?: string
}

/** /proc/PID/cgroup (cgroups(7)). */
export function parseCgroup(text: string): CgroupPaths {
  const unified = /^0::(\/.*)$/m.exec(text)?.[1]
  const systemd = /^\d+:name=systemd:(\/.*)$/m.exec(text)?.[1] ?? unified
  return { ...(unified !== undefined && { unified }), ...(systemd !== undefined && { systemd }) }
}

/**
 * The system unit of a cgroup path: its first component that is no slice.
 * SECURITY: anything deeper may have been made by the unit itself or by a user's own systemd, and proves nothing.
 */
export function systemdUnit(path: string): string | undefined {
  const component = path.split('/').find((part) => part !== '' && !part.endsWith('.slice'))
  return component !== undefined && /\.(service|scope)$/.test(component) ? component : undefined
}

/** Path at which the cgroup v2 hierarchy is mounted, from /proc/self/mountinfo. */
export function findCgroupMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [own, type] = line.split(' - ')
    if (type?.startsWith('cgroup2 ')) return own!.split(' ')[4]
  }
  return undefined
}

/** The device of mount `mountId`, in the kernel's encoding (major << 20 | minor), from /proc/PID/mountinfo. */
export function findMountDevice(mountinfo: string, mountId: string): number | undefined {
  const match = new RegExp(`^${mountId} \\d+ (\\d+):(\\d+) `, 'm').exec(mountinfo)
  return match ? Number(match[1]) * 2 ** 20 + Number(match[2]) : undefined
}

/** `st_dev` as stat(2) gives it, in the kernel's encoding (major << 20 | minor). */
export function kernelDevice(statDevice: bigint): number {
  const major = Number((statDevice >> 8n) & 0xfffn)
  const minor = Number((statDevice & 0xffn) | ((statDevice >> 12n) & 0xfff00n))
  return major * 2 ** 20 + minor
}

/** /proc/PID/environ as name and value; the first of several equal names counts, as for getenv(3). */
export function parseEnvironment(text: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>()
  for (const entry of text.split('\0')) {
    const equals = entry.indexOf('=')
    if (equals > 0 && !variables.has(entry.slice(0, equals))) {
      variables.set(entry.slice(0, equals), entry.slice(equals + 1))
    }
  }
  return variables
}

/** /proc/PID/cmdline as one line: arguments joined by a space. */
export function parseCommandLine(text: string): string {
  return text.replace(/\0+$/, '').replaceAll('\0', ' ')
}
