import { must, scratch, syscall } from './system.ts'

const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_NETNS_COOKIE = 71
const SO_PEERPIDFD = 77

/**
 * getsockopt(2) of up to 256 bytes. The result is valid until the next call of this folder.
 * @throws Fault SYSCALL_FAILED
 */
export function socketOption(fd: number, level: number, option: number, length: number): Buffer {
  if (length > 256) throw new TypeError(`an option of ${length} bytes`)
  const { address, bytes } = scratch()
  bytes.writeUInt32LE(length, 0)
  must(`getsockopt(${level}, ${option})`, syscall('getsockopt', fd, level, option, address + 64n, address))
  return bytes.subarray(64, 64 + bytes.readUInt32LE(0))
}

/**
 * Who connected the Unix socket `fd` (unix(7), SO_PEERCRED), as of that moment. The pid is 0 when the peer is in
 * a pid namespace that we cannot see.
 * @throws Fault SYSCALL_FAILED
 */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const option = socketOption(fd, SOL_SOCKET, SO_PEERCRED, 12)
  return { pid: option.readInt32LE(0), uid: option.readUInt32LE(4), gid: option.readUInt32LE(8) }
}

/**
 * A pidfd of the process that connected the Unix socket `fd` (Linux 6.5); the caller closes it.
 * @throws Fault SYSCALL_FAILED, also when that process was reaped already
 */
export function peerPidfd(fd: number): number {
  return socketOption(fd, SOL_SOCKET, SO_PEERPIDFD, 4).readInt32LE(0)
}

/**
 * The cookie of the network namespace that socket `fd` is in (Linux 5.14): never 0, never used twice until reboot.
 * @throws Fault SYSCALL_FAILED
 */
export function netnsCookie(fd: number): bigint {
  return socketOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8).readBigUInt64LE(0)
}
