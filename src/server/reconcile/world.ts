import type { EpochMs } from '#base/clock'
import type { ExchangeState, Probe } from '#server/exchange'
import type { Reports } from './desired-status.ts'
import type { Objects, Plan } from './plan.ts'
import type { Stream } from './scopes.ts'

/** Everything that states are judged by, at one moment. */
export interface World {
  readonly at: EpochMs
  readonly objects: Objects
  readonly plan: Plan
  readonly streams: readonly Stream[]
  readonly reports: Reports
  readonly exchangeState: (key: string) => ExchangeState | undefined
  readonly discovery: () => Probe
  readonly endpoint: (origin: string) => Probe
}
