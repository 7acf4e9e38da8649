import { readFileSync } from 'node:fs'
import process from 'node:process'
import { must, scratch, syscall } from './system.ts'

const PR_SET_PDEATHSIG = 1
const PR_SET_DUMPABLE = 4
const PR_SET_KEEPCAPS = 8
const PR_CAPBSET_READ = 23
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_RAISE = 2
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const LINUX_CAPABILITY_VERSION_3 = 0x20080522

/** Numbers of linux/capability.h, those that our processes may keep. */
const capabilityNumbers = {
  CAP_DAC_READ_SEARCH: 2,
  CAP_NET_ADMIN: 12,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const
export type Capability = keyof typeof capabilityNumbers

/**
 * Whether others of the same user may trace the process, read its memory or take its core dump. Holds for the
 * whole process; the kernel sets it back on execve.
 * @throws Fault SYSCALL_FAILED
 */
export function setDumpable(dumpable: boolean): void {
  must('prctl(PR_SET_DUMPABLE)', syscall('prctl', PR_SET_DUMPABLE, dumpable ? 1 : 0))
}

/**
 * Has the kernel send `signal` (a number) to this process when its parent dies. A parent that died before the
 * call is not noticed: compare `process.ppid` afterwards.
 * @throws Fault SYSCALL_FAILED
 */
export function setParentDeathSignal(signal: number): void {
  must('prctl(PR_SET_PDEATHSIG)', syscall('prctl', PR_SET_PDEATHSIG, signal))
}

/**
 * Nothing executed from this thread gains privileges by set-user-ID or file capabilities.
 * @throws Fault SYSCALL_FAILED
 */
export function setNoNewPrivileges(): void {
  must('prctl(PR_SET_NO_NEW_PRIVS)', syscall('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

/** Whether this thread has all of the capabilities in effect: root of a container has only some. */
export function hasCapabilities(capabilities: readonly Capability[]): boolean {
  const effective = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))?.[1]
  const mask = BigInt(`0x${effective ?? '0'}`)
  return capabilities.every((name) => (mask >> BigInt(capabilityNumbers[name])) & 1n)
}

function dropBoundingSet(kept: ReadonlySet<number>): void {
  for (let capability = 0; ; capability++) {
    const present = syscall('prctl', PR_CAPBSET_READ, capability)
    if (present < 0) return // past the last one that this kernel knows
    if (present === 1 && !kept.has(capability)) {
      must('prctl(PR_CAPBSET_DROP)', syscall('prctl', PR_CAPBSET_DROP, capability))
    }
  }
}

function setCapabilities(kept: ReadonlySet<number>): void {
  const { address, bytes } = scratch()
  bytes.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0) // header: version, pid 0 (this thread)
  for (const capability of kept) {
    // data: for each half of the mask its effective, permitted and inheritable words
    for (const word of [0, 1, 2]) {
      const offset = 8 + (capability >>> 5) * 12 + word * 4
      bytes.writeUInt32LE((bytes.readUInt32LE(offset) | (1 << (capability & 31))) >>> 0, offset)
    }
  }
  must('capset', syscall('capset', address, address + 8n))
  must('prctl(PR_CAP_AMBIENT)', syscall('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
  for (const capability of kept) {
    must('prctl(PR_CAP_AMBIENT)', syscall('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
  }
}

/**
 * Leaves exactly `capabilities` in the bounding, permitted, effective, inheritable and ambient sets, and becomes
 * `user` (no supplementary groups) if one is given. Needs CAP_SETPCAP, and CAP_SETUID and CAP_SETGID for a user.
 *
 * SECURITY: Linux keeps capabilities per thread. This reaches the calling thread, its children and its later
 * threads; the runtime's own threads keep what they had. A process that goes on by itself must follow this with
 * `process.execve(...)`, which ends them; a process that only starts children from here need not.
 * @throws Fault SYSCALL_FAILED
 */
export function limitCapabilities(
  capabilities: readonly Capability[],
  user?: { readonly uid: number; readonly gid: number },
): void {
  const kept = new Set(capabilities.map((name) => capabilityNumbers[name]))
  dropBoundingSet(kept)
  if (user) {
    must('prctl(PR_SET_KEEPCAPS)', syscall('prctl', PR_SET_KEEPCAPS, kept.size > 0 ? 1 : 0))
    process.setgroups!([])
    process.setgid!(user.gid)
    process.setuid!(user.uid)
  }
  setCapabilities(kept)
}

/**
 * A descriptor that stands for one process and never for a later one with the same number; the caller closes it.
 * Undefined when there is no such process.
 * @throws Fault SYSCALL_FAILED
 */
export function openPidfd(pid: number): number | undefined {
  const ESRCH = 3
  const result = syscall('pidfdOpen', pid, 0)
  return result === -ESRCH ? undefined : must('pidfd_open', result)
}
