import type { CaptureLevel } from '#model/scope'

export interface CaptureStatement {
  readonly level: CaptureLevel
  /** What holds, in words that a user can act on. */
  readonly detail: string
}

/** The best level that this daemon offers (security rule 12), and what it guarantees. */
export function stateCapture({
  capture,
  without,
  enclosing,
}: {
  capture: { cgroup: string | undefined } | undefined
  /** Why the kernel does not capture. */
  without: string | undefined
  enclosing: boolean
}): CaptureStatement {
  if (capture) {
    const where = capture.cgroup === undefined ? 'of this host' : `in cgroup ${capture.cgroup}`
    return {
      level: 'process',
      detail: `the kernel captures connections of identified processes ${where}: each is attested by itself, and refused while the daemon is dead`,
    }
  }
  const reason = `no kernel capture: ${without ?? 'not asked for'}`
  if (enclosing) {
    return {
      level: 'workload',
      detail: `${reason}; commands started with 'tideway run' are enclosed in namespaces whose only way out is the daemon, and attested one by one, not protected from other processes of their user`,
    }
  }
  return {
    level: 'user',
    detail: `${reason}; no namespaces for ordinary users: 'tideway run' uses an explicit proxy, which tells users apart but not the processes of one user, and which a command can go around`,
  }
}
