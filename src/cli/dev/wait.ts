import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'

/** Polls `probe` every 50 ms until it yields something; `what` names the thing in the fault after `timeoutMs`. */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  { clock, signal, timeoutMs = 30_000 }: { clock: Clock; signal: AbortSignal; timeoutMs?: number },
): Promise<T> {
  const deadline = clock.monotonic() + timeoutMs
  for (;;) {
    const found = await probe()
    if (found !== undefined) return found
    if (clock.monotonic() > deadline) {
      throw new Fault('INTERNAL', `${what} did not happen within ${timeoutMs / 1000} s`)
    }
    await clock.sleep(50, { signal })
  }
}
