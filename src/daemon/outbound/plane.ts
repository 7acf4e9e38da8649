import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import type { SpiffeId } from '#model/identity'
import type { Policy } from '#model/policy'
import type { Counts } from './bounds.ts'
import type { Conditions } from './conditions.ts'
import type { Ledger } from './ledger.ts'
import type { Limits } from './limits.ts'
import type { Identifier } from './ports.ts'
import type { Skews } from './skew.ts'
import type { Upstreams } from './upstreams.ts'

/** Since the data plane was opened. */
export interface Counters {
  requests: number
  injected: number
  refused: number
  cut: number
  intercepted: number
  spliced: number
  /** Connections and requests ended because a bound was reached. */
  overflowed: number
}

/** What the sessions of one data plane share. */
export interface Plane {
  readonly clock: Clock
  readonly log: Log
  readonly limits: Limits
  readonly identifier: Identifier
  readonly ledger: Ledger
  readonly conditions: Conditions
  readonly upstreams: Upstreams
  readonly skews: Skews
  /** Bytes of bodies that are held. */
  readonly held: Counts<SpiffeId>
  /** Requests under way over HTTP/2. */
  readonly streams: Counts<SpiffeId>
  readonly counters: Counters
  /** Cryptographically strong. */
  readonly random: (size: number) => Buffer
  /** Replaced with every scope: read it anew for every request. */
  policy: Policy
  /** Whether the control plane was heard recently enough to use credentials (security rule 20). */
  leaseHolds(): boolean
}
