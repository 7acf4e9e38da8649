// Whether the machine itself stands still: then parts of the product, too, give each other up as dead.
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'

const tickMs = 250
/** Half of the silence after which the daemon replaces a worker. */
const stallMs = 1_000

/** Watches until abort; `onStall` is told the time since when this process had to wait for its turn. */
export async function watchStalls(signal: AbortSignal, onStall: (since: number) => void): Promise<void> {
  while (!signal.aborted) {
    const since = systemClock.now()
    await delay(tickMs, undefined, { signal }).catch(() => {})
    if (systemClock.now() - since > tickMs + stallMs) onStall(since)
  }
}
