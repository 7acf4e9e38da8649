import type { Clock, EpochMs } from '#base/clock'

/** How long this daemon may go on without its control plane (security rule 20). */
export interface Lease {
  /** The control plane was heard: the lease runs for `seconds` from now. */
  extend(seconds: number): void
  /** Ends the lease at once: the control plane has refused this daemon. */
  end(): void
  /** 0 when it is not held. */
  remainingMs(): number
  /** How often it has ended: what came before an end is not to be relied on. */
  ends(): number
  /** Calls `onEnd` each time a held lease ends, until abort. */
  run(options: { signal: AbortSignal; onEnd: () => void }): Promise<void>
}

/**
 * Opens a lease that is not held yet. SECURITY: it runs by monotonic time, so that a clock that is set back does not
 * stretch it, and by wall-clock time, so that it runs while the machine sleeps.
 */
export function openLease(clock: Clock): Lease {
  let until: { readonly monotonic: number; readonly wall: EpochMs } | undefined
  let ends = 0
  let changed = new AbortController()
  const leftMs = () =>
    until === undefined ? 0 : Math.min(until.monotonic - clock.monotonic(), until.wall - clock.now())
  const holdFor = (ms: number) => {
    until = { monotonic: clock.monotonic() + ms, wall: clock.now() + ms }
    changed.abort()
    changed = new AbortController()
  }
  return {
    extend: (seconds) => holdFor(seconds * 1000),
    end: () => until && holdFor(0),
    remainingMs: () => Math.max(0, leftMs()),
    ends: () => ends,
    async run({ signal, onEnd }) {
      while (!signal.aborted) {
        if (until && leftMs() <= 0) {
          until = undefined
          ends++
          onEnd()
        }
        const at = until ? clock.now() + leftMs() : Infinity
        await clock.until(at, { signal: AbortSignal.any([signal, changed.signal]) }).catch(() => {})
      }
    },
  }
}
