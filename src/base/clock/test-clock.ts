import { sleepBy, untilBy, type Clock, type EpochMs } from './clock.ts'

/** A clock that stands still until told to move. */
export interface TestClock extends Clock {
  /** Moves time forward and wakes what became due, in order of its deadline. */
  advance(ms: number): Promise<void>
  /** Sets wall-clock time alone, forward or back, as an operator does, or a machine that sleeps. */
  set(byMs: number): Promise<void>
  /** Resolves when at least `count` sleepers wait: lets a test arm before it advances. */
  untilArmed(count?: number): Promise<void>
}

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

/** Opens a test clock that starts at `startMs` (default 2026-01-01T00:00:00Z). */
export function openTestClock(startMs: EpochMs = 1_767_225_600_000): TestClock {
  let elapsed = 0
  let setBy = 0
  const jumps = new Set<(byMs: number) => void>()
  const sleepers = new Set<Sleeper>()
  const armed = new Set<() => void>()
  const after = (ms: number, wake: () => void) => {
    const sleeper: Sleeper = { due: elapsed + ms, wake }
    sleepers.add(sleeper)
    for (const check of armed) check()
    return () => void sleepers.delete(sleeper)
  }
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
  const now = () => startMs + elapsed + setBy
  const onJump = (then: (byMs: number) => void) => {
    const listener = (byMs: number) => then(byMs)
    jumps.add(listener)
    return () => void jumps.delete(listener)
  }
  return {
    now,
    monotonic: () => elapsed,
    sleep: sleepBy(after),
    after,
    onJump,
    until: untilBy({ now, after, onJump }),
    async set(byMs) {
      setBy += byMs
      for (const then of new Set(jumps)) then(byMs)
      await settle()
    },
    async advance(ms) {
      const target = elapsed + ms
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.due - b.due)[0]
        if (!next || next.due > target) break
        elapsed = Math.max(elapsed, next.due)
        sleepers.delete(next)
        next.wake()
        await settle()
      }
      elapsed = target
      await settle()
    },
    async untilArmed(count = 1) {
      if (sleepers.size >= count) return
      await new Promise<void>((resolve) => {
        const check = () => {
          if (sleepers.size < count) return
          armed.delete(check)
          resolve()
        }
        armed.add(check)
      })
    },
  }
}
