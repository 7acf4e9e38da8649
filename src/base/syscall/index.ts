/**
 * The system calls that Node does not offer, and the only place with foreign code: syscall(2), and malloc_trim(3),
 * through `node:ffi`, or koffi, after a self-test. Everything is synchronous and must not block.
 * It promises typed wrappers that throw Faults; it does not promise that an effect reaches every thread of the
 * process: what Linux keeps per thread says so.
 */
export { allocateMemory, errnoOf, errorName, must, syscall, trimMemory } from './system.ts'
export type { Memory } from './native.ts'
export type { SyscallName } from './numbers.ts'
export {
  hasCapabilities,
  limitCapabilities,
  openPidfd,
  setDumpable,
  setNoNewPrivileges,
  setParentDeathSignal,
} from './process.ts'
export type { Capability } from './process.ts'
export { tryLock } from './lock.ts'
export { netnsCookie, peerCredentials, peerPidfd, socketOption } from './socket.ts'
export { enterNamespace, mount, mountFlags, unmount, unshare } from './namespace.ts'
export type { MountOptions, NamespaceKind } from './namespace.ts'
export { addLocalDefaultRoutes, addLoopbackAddress, bringLoopbackUp } from './route.ts'
