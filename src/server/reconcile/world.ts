import type { EpochMs } from '#base/clock'
import type { JoinToken } from '#model/resource'
import type { ExchangeState, Probe } from '#server/exchange'
import type { Place, Plan } from './plan.ts'
import type { Reports } from './reports.ts'
import type { LeftOut } from './room.ts'
import type { Stream } from './scopes.ts'

/** The daemons that are connected somewhere. */
export interface Streams {
  stream(daemonName: string): Stream | undefined
  streamsAt(place: Place): readonly Stream[]
}

/** Everything that states are judged by, at one moment. */
export interface World {
  readonly at: EpochMs
  readonly plan: Plan
  /** Names of all daemons at a place, connected or not. */
  readonly daemonsAt: (place: Place) => ReadonlySet<string>
  readonly streams: Streams
  /** Whether a daemon is said to be disconnected, though its stream may still be open: it counts as one that is not. */
  readonly isGone: (daemonName: string) => boolean
  readonly reports: Reports
  /** Of daemons by name, connected or not, what does not fit into their scopes. Those have no entry into which all fits. */
  readonly leftOut: ReadonlyMap<string, LeftOut>
  /** Why no daemon can join with a token, if so. */
  readonly obstacleTo: (token: JoinToken) => string | undefined
  readonly exchangeState: (key: string) => ExchangeState | undefined
  readonly discovery: () => Probe
  readonly endpoint: (origin: string) => Probe
}
