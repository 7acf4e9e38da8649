import { Fault } from '#base/errors'

// Linux: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64).
const x64 = {
  bpf: 321,
  capset: 126,
  clockGettime: 228,
  close: 3,
  flock: 73,
  getpid: 39,
  getsockopt: 55,
  mmap: 9,
  mount: 165,
  pidfdOpen: 434,
  prctl: 157,
  recvfrom: 45,
  sendto: 44,
  setns: 308,
  socket: 41,
  umount2: 166,
  unshare: 272,
} as const

const arm64 = {
  bpf: 280,
  capset: 91,
  clockGettime: 113,
  close: 57,
  flock: 32,
  getpid: 172,
  getsockopt: 209,
  mmap: 222,
  mount: 40,
  pidfdOpen: 434,
  prctl: 167,
  recvfrom: 207,
  sendto: 206,
  setns: 268,
  socket: 198,
  umount2: 39,
  unshare: 97,
} as const satisfies Record<keyof typeof x64, number>

export type SyscallName = keyof typeof x64
export type SyscallNumbers = Readonly<Record<SyscallName, number>>

/** @throws Fault PLATFORM_UNSUPPORTED on anything but Linux on x86-64 or arm64 */
export function syscallNumbers(platform: string, architecture: string): SyscallNumbers {
  if (platform === 'linux' && architecture === 'x64') return x64
  if (platform === 'linux' && architecture === 'arm64') return arm64
  throw new Fault('PLATFORM_UNSUPPORTED', `system calls are not known for ${platform} on ${architecture}`)
}
