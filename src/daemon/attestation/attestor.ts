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
