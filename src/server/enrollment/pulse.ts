import type { Http2Session } from 'node:http2'
import type { Clock, EpochMs } from '#base/clock'

/** Asks for a sign of life; one that never comes is never told of. */
export type Ping = (onAnswer: () => void) => void

const leastMs = 1_000
/** Of all daemons together: each costs 40 us of CPU here (docs/decisions/0014). */
const maxPingsPerSecond = 500

/** How often each of so many daemons is asked, and how long without an answer makes it silent. */
export function paceFor(daemons: number): { everyMs: number; silentAfterMs: number } {
  const everyMs = Math.max(leastMs, (daemons * 1000) / maxPingsPerSecond)
  return { everyMs, silentAfterMs: 2 * everyMs + leastMs }
}

/** By a PING of HTTP/2 (RFC 9113 section 6.7): the daemon's main process answers it, as soon as it turns. */
export function pingOf(session: Http2Session | undefined): Ping {
  return (onAnswer) => {
    if (!session || session.destroyed) return
    session.ping((error) => {
      if (!error) onAnswer()
    })
  }
}

export interface Pulse {
  /** A word of the daemon's is a sign of life as well. */
  heard(): void
  /** When it was heard of last. */
  heardAt(): EpochMs
}

/** Watches, until `signal` aborts, whether a daemon lives: a node that dies or is cut off closes no connection. */
export function openPulse({
  ping,
  daemons,
  onSilent,
  onHeard,
  clock,
  signal,
}: {
  ping: Ping
  /** How many daemons there are. */
  daemons: () => number
  onSilent: () => void
  /** It was silent, and is no more. */
  onHeard: () => void
  clock: Clock
  signal: AbortSignal
}): Pulse {
  let heardAt = clock.now()
  let lastSign = clock.monotonic()
  let isSilent = false
  let isAsked = false

  function heard(): void {
    heardAt = clock.now()
    lastSign = clock.monotonic()
    if (!isSilent) return
    isSilent = false
    onHeard()
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      const { everyMs, silentAfterMs } = paceFor(daemons())
      if (!isAsked) {
        isAsked = true
        ping(() => {
          isAsked = false
          if (!signal.aborted) heard()
        })
      }
      const before = clock.monotonic()
      await clock.sleep(everyMs, { signal, unref: true }).catch(() => {})
      // What this server slept through is nobody's silence.
      lastSign += Math.max(0, clock.monotonic() - before - everyMs)
      if (isSilent || signal.aborted || clock.monotonic() - lastSign < silentAfterMs) continue
      isSilent = true
      onSilent()
    }
  }

  void watch()
  return { heard, heardAt: () => heardAt }
}
