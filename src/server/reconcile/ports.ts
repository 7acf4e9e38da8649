import type { CaptureLevel, ScopeKeys, ScopeUpdate } from '#model/scope'
import type { WorkloadId } from '#model/identity'

/** A connected daemon, as its stream introduced it. */
export interface FollowingDaemon {
  readonly name: string
  readonly workloadId: WorkloadId
  /** Groups it belongs to (`spec.daemonGroups`). */
  readonly groups: readonly string[]
  readonly captureLevel: CaptureLevel
}

/** A condition that a daemon reports about a resource in its scope. */
export interface ReportedCondition {
  readonly subject: string
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

/** What each daemon gets, and what it says about it. */
export interface Scopes {
  /** First an update with `reset`, then deltas as they happen; ends on abort. One stream per daemon at a time. */
  follow(daemon: FollowingDaemon, options: { signal: AbortSignal }): AsyncIterable<ScopeUpdate>
  /**
   * The daemon has put `revision` into effect in every worker, or says why not. With `leftOut` it is about these
   * items, and all else is in effect.
   */
  acknowledge(daemonName: string, revision: number, error?: string, leftOut?: ScopeKeys): void
  /** Everything that the daemon has to say now: what it said before and does not repeat is over. */
  observe(daemonName: string, conditions: readonly ReportedCondition[]): void
  /** Hosts that are bound in this daemon's scope now: what an intermediate may be constrained to. */
  boundHosts(daemonName: string): readonly string[]
}
