import type { Clock } from './clock.ts'

/** How far wall-clock and monotonic time have to come apart: what NTP corrects gradually moves both. */
const toleratedMs = 500
const lookEveryMs = 500

/**
 * The `onJump` of a clock. Timers run by monotonic time, which stands still while the machine sleeps and does not
 * change when the clock is set; the system tells nobody of either.
 */
export function openJumps({ now, monotonic }: Pick<Clock, 'now' | 'monotonic'>): Clock['onJump'] {
  const listeners = new Set<(byMs: number) => void>()
  let apart = 0
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const byMs = now() - monotonic() - apart
    if (Math.abs(byMs) < toleratedMs) return
    apart += byMs
    for (const tell of new Set(listeners)) tell(byMs)
  }

  return (then) => {
    if (listeners.size === 0) {
      apart = now() - monotonic()
      timer = setInterval(look, lookEveryMs).unref()
    }
    // Of its own: the same may listen twice.
    const listener = (byMs: number) => then(byMs)
    listeners.add(listener)
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) clearInterval(timer)
    }
  }
}
