import type { ProcessPin } from '#model/identity'

/** What was found out about one process, all read while its start time stayed the same. */
export interface Attestation {
  readonly pin: ProcessPin
  /** Path of the executable in the host's mount namespace, or as the process sees it when it has no such path. */
  readonly executable: string
  /** Selector keys with their values, such as `process:uid` -> `['1000']` (design section 2). */
  readonly attributes: ReadonlyMap<string, readonly string[]>
}

/** Reads the identity of processes. Implementations may be called concurrently. */
export interface Attestor extends AsyncDisposable {
  /**
   * Attests the process that has this pid and this start time; undefined when it is gone or another by now.
   * @throws Fault ATTESTATION_FAILED when it exists but cannot be read.
   */
  attest(pid: number, startTicks: bigint): Promise<Attestation | undefined>
}

/** A file as the kernel has it: device (major << 20 | minor) and inode. */
export interface FileId {
  readonly device: number
  readonly inode: bigint
}

export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/** One TCP connection as its client sees it. */
export interface ClientConnection {
  /**
   * Network namespace of the client: ours, or that of process `pid`, which must then not be ours: a relay speaks
   * only for those whom it was started to enclose.
   */
  readonly network: 'ours' | { readonly pid: number }
  /** Who made the client's socket: only that user's processes are looked through for who holds it. */
  readonly uid: number
  readonly client: SocketAddress
  readonly server: SocketAddress
}

/** An attestor that can also find processes, where no kernel program says who they are. */
export interface ProcessAttestor extends Attestor {
  /**
   * The process of that user that holds the client's socket; undefined when none is found, or when several that are
   * not images of the same program share it: then nobody can say whose bytes they are.
   */
  findOwner(connection: ClientConnection): Promise<ProcessPin | undefined>
  /** Start time of the process that has this pid now. */
  startOf(pid: number): Promise<bigint | undefined>
  /** The files that these paths lead to, of those that are there. */
  locate(paths: readonly string[]): Promise<ReadonlyMap<string, FileId>>
  /**
   * Names the selector keys in use: hashes, environment and ancestors are read only when asked for. `paths` are those
   * by which selectors name executables: a process has each that leads to its own.
   */
  collect(keys: readonly string[], paths?: readonly string[]): Promise<void>
}
