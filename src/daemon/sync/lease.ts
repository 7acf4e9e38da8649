import type { Clock } from '#base/clock'

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

/** Opens a lease that is not held yet. It runs by monotonic time: setting the clock does not stretch it. */
export function openLease(clock: Clock): Lease {
  let until: number | undefined
  let ends = 0
  let changed = new AbortController()
  const update = (value: number | undefined) => {
    until = value
    changed.abort()
    changed = new AbortController()
  }
  return {
    extend: (seconds) => update(clock.monotonic() + seconds * 1000),
    end: () => until !== undefined && update(0),
    remainingMs: () => (until === undefined ? 0 : Math.max(0, until - clock.monotonic())),
    ends: () => ends,
    async run({ signal, onEnd }) {
      while (!signal.aborted) {
        if (until !== undefined && clock.monotonic() >= until) {
          until = undefined
          ends++
          onEnd()
        }
        const wait = until === undefined ? 3_600_000 : until - clock.monotonic()
        await clock.sleep(wait, { signal: AbortSignal.any([signal, changed.signal]) }).catch(() => {})
      }
    },
  }
}
