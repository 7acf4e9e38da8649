import type { CaptureLevel } from '#model/scope'
import type { ProcessPin } from '#model/identity'

/** Who opened a connection and where it was meant to go, from the kernel (or as near to it as the level gives). */
export interface ConnectionOrigin {
  readonly level: CaptureLevel
  readonly process: ProcessPin
  readonly destination: {
    /** Set when the workload named a host to a proxy (CONNECT); absent when it connected to an address. */
    readonly host?: string
    /** IP address as text, IPv4-mapped addresses unmapped; absent when only a host is known. */
    readonly address?: string
    readonly port: number
  }
  /** SO_NETNS_COOKIE of the workload's network namespace; 0 where unknown. */
  readonly netnsCookie: bigint
}
