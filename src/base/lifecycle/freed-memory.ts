import type { Clock } from '#base/clock'
import { trimMemory } from '#base/syscall'

const everyMs = 5_000

/**
 * Gives back what this process has freed, every five seconds until abort: the C library keeps it otherwise, and after
 * a rush of handshakes or requests that is a good part of all memory.
 */
export async function returnFreedMemory(clock: Clock, options: { signal?: AbortSignal } = {}): Promise<void> {
  for (;;) {
    try {
      await clock.sleep(everyMs, { ...options, unref: true })
    } catch {
      return
    }
    trimMemory()
  }
}
