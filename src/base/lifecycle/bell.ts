import type { Clock } from '#base/clock'

/**
 * Tells waiters that something changed; they look at the state themselves, so rings need no queue and many
 * rings cost a slow waiter one wake-up.
 */
export interface Bell {
  /** How often it rang: take it before looking at the state, and pass it to `after`. */
  readonly rings: number
  ring(): void
  /** Resolves once it has rung more than `rings` times, or on abort; never rejects. */
  after(rings: number, signal: AbortSignal): Promise<void>
}

/** As `bell.after`, and no longer than `ms`. */
export async function afterAtMost(
  bell: Pick<Bell, 'after'>,
  rings: number,
  { ms, clock, signal }: { ms: number; clock: Clock; signal: AbortSignal },
): Promise<void> {
  if (signal.aborted) return
  // Thousands wait like this: a composed signal, and an error for each that ends, cost more than the wait.
  const waited = new AbortController()
  const end = () => waited.abort(ended)
  const cancel = clock.after(ms, end, { unref: true })
  signal.addEventListener('abort', end, { once: true })
  await bell.after(rings, waited.signal)
  signal.removeEventListener('abort', end)
  cancel()
}

const ended = 'ended'

export function openBell(): Bell {
  let rings = 0
  const waiting = new Set<() => void>()
  return {
    get rings() {
      return rings
    },
    ring() {
      rings++
      for (const wake of waiting) wake()
    },
    after: (heard, signal) =>
      new Promise((resolve) => {
        if (rings > heard || signal.aborted) return resolve()
        const wake = () => {
          waiting.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        waiting.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      }),
  }
}
