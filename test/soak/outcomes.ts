// What came of the requests, and which failure nothing explains.
import type { Report } from './crowd.ts'
import type { Disturbances } from './disturbances.ts'
import { bound } from './stage.ts'

/** What the cloud says to those for whom nobody vouches. */
const unsignedStatuses = /^4\d\d$/
const signedStatuses = /^20[04]$/

export class Outcomes {
  /** By what was asked and what came of it. */
  readonly counts = new Map<string, Map<string, number>>()
  good = 0
  /** Failed while something was out of order. */
  excused = 0
  readonly #disturbances: Disturbances
  readonly #onBroken: (what: string) => void

  constructor(disturbances: Disturbances, onBroken: (what: string) => void) {
    this.#disturbances = disturbances
    this.#onBroken = onBroken
  }

  /** True for an answer of the cloud to a request that was to be signed. */
  take(report: Report): boolean {
    const { what, label, outcome, since, until } = report
    const kind = `${label === 'curl' ? 'other program' : bound.has(label) ? 'identified' : label}: ${what}`
    const counts = this.counts.get(kind) ?? new Map<string, number>()
    this.counts.set(kind, counts)
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    const isSigned = bound.has(label) && what !== 'unbound'
    if ((isSigned ? signedStatuses : unsignedStatuses).test(outcome)) {
      this.good += 1
      return isSigned
    }
    if (this.#disturbances.explains(since * 1000, until * 1000, bound.has(label))) {
      this.excused += 1
    } else {
      this.#onBroken(`failed although all was well: ${JSON.stringify(report)}`)
    }
    return false
  }
}
