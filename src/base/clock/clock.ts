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
  // Not that of node:timers/promises: it makes an error of its own, with its stack, of every abort, which costs
  // more than all the rest where a limit is set and called off for each connection.
  sleep(ms: number, { signal, unref = false }: { signal?: AbortSignal; unref?: boolean } = {}) {
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }, ms)
      const abort = () => {
        clearTimeout(timer)
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', abort, { once: true })
      if (unref) timer.unref()
    })
  },
})
