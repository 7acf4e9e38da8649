import type { Clock, EpochMs } from '#base/clock'

/** What RFC 8628 section 3.5 adds each time. */
const growthSeconds = 5
/** A request seems to come so much too soon when the one before was that much longer on its way. */
const toleranceMs = 500
/** SECURITY: strangers begin logins without end. Of more than these, who asked longest ago is forgotten. */
const maxWaiting = 4096

/** How often programs ask that wait for somebody to log in. Each server counts what it is asked itself. */
export interface PollingPace {
  /** Whether a program asks again sooner than it was told to; if so it has to wait longer from then on. */
  isTooFast(login: string): boolean
}

/** `seconds`: the interval that programs are told at first. */
export function openPollingPace({ clock, seconds }: { clock: Clock; seconds: number }): PollingPace {
  const waiting = new Map<string, { readonly at: EpochMs; readonly seconds: number }>()
  return {
    isTooFast(login) {
      const at = clock.now()
      const before = waiting.get(login)
      const tooFast = before !== undefined && at - before.at < before.seconds * 1000 - toleranceMs
      waiting.delete(login)
      waiting.set(login, { at, seconds: (before?.seconds ?? seconds) + (tooFast ? growthSeconds : 0) })
      if (waiting.size > maxWaiting) waiting.delete(waiting.keys().next().value!)
      return tooFast
    },
  }
}
