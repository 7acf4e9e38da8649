import { setTimeout as delay } from 'node:timers/promises'

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
}

export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms: number, options: { signal?: AbortSignal; unref?: boolean } = {}) {
    await delay(ms, undefined, {
      ref: !options.unref,
      ...(options.signal ? { signal: options.signal } : {}),
    })
  },
})
