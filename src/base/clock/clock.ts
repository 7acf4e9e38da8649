import { openJumps } from './jumps.ts'

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = number

/** The source of time. Implementations must be safe for concurrent use. */
export interface Clock {
  /** Wall-clock time; may jump when an operator sets the clock. For stamps and expiry. */
  now(): EpochMs
  /** Milliseconds that only go forward, from an arbitrary origin. For durations and deadlines. */
  monotonic(): number
  /** Waits; rejects with the signal's reason when aborted. Does not keep the process alive by itself if `unref`. */
  sleep(ms: number, options?: { signal?: AbortSignal; unref?: boolean }): Promise<void>
  /** Calls `then` once, unless the function that is returned is called first. For what is hardly ever waited out. */
  after(ms: number, then: () => void, options?: { unref?: boolean }): () => void
  /**
   * Calls `then` within a second of each time that the clock was set, or the machine slept, until the function that is
   * returned is called. `byMs`: how far wall-clock time has moved against monotonic time, back where it is negative.
   */
  onJump(then: (byMs: number) => void): () => void
  /** As `sleep`, until wall-clock time is `at`. Ends early when the clock jumps: who waits has to look again. */
  until(at: EpochMs, options?: { signal?: AbortSignal; unref?: boolean }): Promise<void>
}

/** The `sleep` of a clock with this `after`. */
export function sleepBy(after: Clock['after']): Clock['sleep'] {
  return (ms, { signal, ...options } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const cancel = after(
        ms,
        () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
        options,
      )
      const abort = () => {
        cancel()
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', abort, { once: true })
    })
}

/** The `until` of a clock with these. */
export function untilBy({ now, after, onJump }: Pick<Clock, 'now' | 'after' | 'onJump'>): Clock['until'] {
  const sleep = sleepBy((ms, then, options) => {
    const wake = () => {
      cancel()
      then()
    }
    const cancelTimer = after(ms, wake, options)
    const stopListening = onJump(wake)
    const cancel = () => {
      cancelTimer()
      stopListening()
    }
    return cancel
  })
  return (at, options) => sleep(Math.max(0, at - now()), options)
}

/** The longest that a timer of Node.js takes, 24 days; it fires at once for what is longer. */
const maxTimerMs = 2 ** 31 - 1

function after(ms: number, then: () => void, { unref = false }: { unref?: boolean } = {}): () => void {
  if (ms > maxTimerMs) {
    let cancel = after(maxTimerMs, () => (cancel = after(ms - maxTimerMs, then, { unref })), { unref })
    return () => cancel()
  }
  const timer = setTimeout(then, ms)
  if (unref) timer.unref()
  return () => clearTimeout(timer)
}

const now = () => Date.now()
const monotonic = () => performance.now()
const onJump = openJumps({ now, monotonic })

export const systemClock: Clock = Object.freeze({
  now,
  monotonic,
  sleep: sleepBy(after),
  after,
  onJump,
  until: untilBy({ now, after, onJump }),
})
