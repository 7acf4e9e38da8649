import { must, scratch, syscall } from './system.ts'

/** Kinds of namespace, as the bits of unshare(2) and setns(2). */
const namespaceBits = { mount: 0x20000, network: 0x40000000, uts: 0x4000000, ipc: 0x8000000 } as const
export type NamespaceKind = keyof typeof namespaceBits

/** Flags of mount(2). */
export const mountFlags = {
  readOnly: 1,
  noSetuid: 2,
  noDevices: 4,
  noExec: 8,
  remount: 0x20,
  bind: 0x1000,
  recursive: 0x4000,
  private: 0x40000,
} as const
const MNT_DETACH = 2

/**
 * Moves the calling thread, and with it the children it starts, into new namespaces. The runtime's other threads
 * stay behind, so this is for processes that go on to `execve` or only start children. A user namespace is not
 * offered: the kernel refuses it to a process of several threads.
 * @throws Fault SYSCALL_FAILED
 */
export function unshare(...kinds: readonly NamespaceKind[]): void {
  const bits = kinds.reduce((sum, kind) => sum | namespaceBits[kind], 0)
  must(`unshare(${kinds.join(', ')})`, syscall('unshare', bits))
}

/**
 * Moves the calling thread into the namespace behind descriptor `fd`. Works for network, uts and ipc: the kernel
 * refuses mount namespaces while threads share a working directory. As with `unshare`, sockets made by the
 * thread pool (DNS look-ups) do not follow.
 * @throws Fault SYSCALL_FAILED
 */
export function enterNamespace(fd: number, kind: Exclude<NamespaceKind, 'mount'>): void {
  must(`setns(${kind})`, syscall('setns', fd, namespaceBits[kind]))
}

export interface MountOptions {
  /** Device or directory; the type's name where the type needs none. */
  readonly source?: string
  readonly target: string
  /** File system type; absent for bind mounts and changes of propagation. */
  readonly type?: string
  /** Sum of `mountFlags`. */
  readonly flags?: number
  /** Options of the file system: `mode=0700,size=1m`. */
  readonly data?: string
}

/** Places `text` at the start of a slot; mount(2) reads at most a page of each. */
function place(bytes: Buffer, text: string, slot: number): void {
  if (Buffer.byteLength(text) >= 1024) throw new TypeError('a mount argument of 1024 bytes or more')
  bytes.write(text, slot * 1024)
}

/** @throws Fault SYSCALL_FAILED */
export function mount({ source, target, type, flags = 0, data }: MountOptions): void {
  const { address, bytes } = scratch()
  const texts = [source ?? type ?? 'none', target, type, data]
  texts.forEach((text, slot) => text !== undefined && place(bytes, text, slot))
  const [from, to, fstype, options] = texts.map((text, slot) =>
    text === undefined ? 0n : address + BigInt(slot * 1024),
  )
  must(`mount ${target}`, syscall('mount', from, to, fstype, flags, options))
}

/**
 * Takes the mount at `target` out of the tree; `detach` also while it is in use (MNT_DETACH).
 * @throws Fault SYSCALL_FAILED
 */
export function unmount(target: string, { detach = false }: { detach?: boolean } = {}): void {
  const { address, bytes } = scratch()
  place(bytes, target, 0)
  must(`umount ${target}`, syscall('umount2', address, detach ? MNT_DETACH : 0))
}
