import { getSystemErrorMap } from 'node:util'
import { Fault } from '#base/errors'
import { openKoffi } from './koffi.ts'
import type { Memory, Native, Word } from './native.ts'
import { openNodeFfi } from './node-ffi.ts'
import { syscallNumbers, type SyscallName, type SyscallNumbers } from './numbers.ts'

const EBADF = 9
const PR_SET_NAME = 15
const PR_GET_NAME = 16

/** Why `native` cannot be trusted with system calls; undefined when it can. A wrong binding may corrupt memory. */
export function selfTest(native: Native, numbers: SyscallNumbers): string | undefined {
  if (native.call(numbers.getpid) !== process.pid) return 'getpid gave another number'
  if (native.call(numbers.close, -1) !== -EBADF) return 'an error number was lost'
  const memory = native.allocate(64)
  if (memory.bytes.length !== 64 || memory.bytes.some((byte) => byte !== 0)) return 'memory is not zeroed'
  // The thread's own name, read and written back: the kernel writes into our memory and reads from it.
  if (native.call(numbers.prctl, PR_GET_NAME, memory.address) !== 0)
    return 'the kernel cannot write our memory'
  if (memory.bytes[0] === 0) return 'what the kernel wrote cannot be seen'
  if (native.call(numbers.prctl, PR_SET_NAME, memory.address) !== 0)
    return 'the kernel cannot read our memory'
  return undefined
}

let opened: { native: Native; numbers: SyscallNumbers; scratch: Memory } | undefined

function system() {
  if (opened) return opened
  const numbers = syscallNumbers(process.platform, process.arch)
  const reasons: string[] = []
  for (const open of [openNodeFfi, openKoffi]) {
    const native = open(numbers.mmap)
    const reason = native && selfTest(native, numbers)
    if (native && !reason) return (opened = { native, numbers, scratch: native.allocate(4096) })
    reasons.push(`${open === openNodeFfi ? 'node:ffi' : 'koffi'} ${reason ?? 'is not available'}`)
  }
  throw new Fault('PLATFORM_UNSUPPORTED', `no way to make system calls: ${reasons.join(', ')}`)
}

/**
 * Makes a system call with integer arguments. Gives the result, or minus the error number.
 * @throws Fault PLATFORM_UNSUPPORTED at the first use where the binding does not pass its self-test
 */
export function syscall(
  name: SyscallName,
  a?: Word,
  b?: Word,
  c?: Word,
  d?: Word,
  e?: Word,
  f?: Word,
): number {
  const { native, numbers } = opened ?? system()
  return native.call(numbers[name], a, b, c, d, e, f)
}

/** Memory for arguments; never given back (see `Native.allocate`). */
export function allocateMemory(length: number): Memory {
  return system().native.allocate(length)
}

/** Gives the system back the pages in which only freed memory of the C library lies (malloc_trim(3)). */
export function trimMemory(): void {
  system().native.trim()
}

/** One page for the arguments of a single call: zeroed, valid until the next caller. */
export function scratch(): Memory {
  const { scratch: page } = system()
  page.bytes.fill(0)
  return page
}

/** `EPERM` for 1. */
export function errorName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `error ${errno}`
}

/** The error number behind a fault of `must`; undefined for anything else. */
export function errnoOf(error: unknown): number | undefined {
  const cause = error instanceof Fault ? error.cause : undefined
  return cause instanceof Error && 'errno' in cause && typeof cause.errno === 'number'
    ? cause.errno
    : undefined
}

/**
 * Passes a successful result through.
 * @throws Fault SYSCALL_FAILED naming `what`; `errnoOf` gives the number
 */
export function must(what: string, result: number): number {
  if (result >= 0) return result
  const name = errorName(-result)
  throw new Fault('SYSCALL_FAILED', `${what}: ${name}`, {
    cause: Object.assign(new Error(name), { code: name, errno: -result }),
  })
}
