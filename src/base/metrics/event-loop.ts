import type { Clock } from '#base/clock'
import type { Metrics } from './metrics.ts'

const everyMs = 20

/** Observes how late a timer fires, 50 times a second, until abort. */
export async function observeEventLoop(
  metrics: Metrics,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const due = clock.monotonic() + everyMs
    await clock.sleep(everyMs, { signal, unref: true }).catch(() => {})
    const lateMs = Math.max(0, clock.monotonic() - due)
    metrics.observe('event_loop_delay_seconds', {}, lateMs / 1000)
  }
}
