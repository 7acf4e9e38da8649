import { closeSync, mkdtempSync, openSync, readlinkSync, rmdirSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { isFault } from '#base/errors'
import { errnoOf } from '#base/syscall'
import { linkToCgroup } from './bpf.ts'
import captureObject from './capture.bpf.json' with { type: 'json' }
import { cgroupMount } from './cgroup.ts'
import { loadObject } from './load.ts'
import { hooks } from './pins.ts'

export type CaptureAvailability =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string }

const EPERM = 1
const EACCES = 13
const EROFS = 30

/**
 * The kernel's first namespaces (include/linux/proc_ns.h). Its programs name processes and cgroups as those do: in a
 * container of its own the daemon would look for others under these names, and captured connections be refused.
 */
const hostNamespaces = { pid: 4026531836, cgroup: 4026531835 } as const

function ownNamespace(): string | undefined {
  const kinds = Object.entries(hostNamespaces)
  return kinds.find(([kind, inode]) => readlinkSync(`/proc/self/ns/${kind}`) !== `${kind}:[${inode}]`)?.[0]
}

/** Loads everything and attaches it to a cgroup of its own without processes, which goes away again. */
function tryAll(): void {
  using object = loadObject(captureObject)
  const folder = mkdtempSync(join(cgroupMount(), 'tideway-probe-'))
  try {
    const cgroup = openSync(folder, 'r')
    try {
      for (const hook of hooks) {
        if (!('tracepoint' in hook))
          closeSync(linkToCgroup(object.programs.get(hook.program)!, cgroup, hook.attachType))
      }
    } finally {
      closeSync(cgroup)
    }
  } finally {
    rmdirSync(folder)
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function reasonOf(error: unknown): string {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  const refused = [EPERM, EACCES].includes(errnoOf(error) ?? 0)
  if (refused && process.getuid?.() !== 0) return 'needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN'
  if (major < 5 || (major === 5 && minor < 19)) return `kernel ${release()} is too old: 5.19 is needed`
  if (refused) return 'the kernel refuses BPF to root: lockdown, a container without CAP_BPF, or seccomp'
  if (codeOf(error) === 'EROFS' || errnoOf(error) === EROFS)
    return 'the cgroup v2 hierarchy is read-only here'
  if (isFault(error)) return [error.message, error.hint].filter(Boolean).join(': ')
  return error instanceof Error ? error.message : String(error)
}

/** Whether capture by the kernel is possible here, by really doing all of it; if not, why, for the operator. */
export function probeCapture(): CaptureAvailability {
  const kind = ownNamespace()
  if (kind !== undefined) {
    const reason = `the daemon is in a ${kind} namespace of its own: run it on the host`
    return { available: false, reason }
  }
  try {
    tryAll()
    return { available: true }
  } catch (error) {
    return { available: false, reason: reasonOf(error) }
  }
}
