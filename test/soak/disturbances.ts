// When what was out of order, and whether a failed request can be laid to it.
import type { EpochMs } from '#base/clock'

/** `way`: from a process that is identified through the daemon. `front`: to the cloud, for everybody. */
export type Affected = 'way' | 'front'

interface Disturbance {
  readonly affected: Affected
  readonly since: EpochMs
  until: EpochMs
}

/** After all is well for one, connections that were broken may still be under way for others. */
const aftermathMs = 3_000

export class Disturbances {
  readonly #all: Disturbance[] = []

  /** From `at` on, until the answer is called. */
  begin(affected: Affected, at: EpochMs): (end: EpochMs) => void {
    const disturbance = { affected, since: at, until: Infinity }
    this.#all.push(disturbance)
    return (end) => void (disturbance.until = end + aftermathMs)
  }

  /** Whether one that affects the request touches the time from `since` to `until`. */
  explains(since: EpochMs, until: EpochMs, passesDaemon: boolean): boolean {
    return this.#all.some(
      (each) => (each.affected === 'front' || passesDaemon) && each.since <= until && since <= each.until,
    )
  }
}
