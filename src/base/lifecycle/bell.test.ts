import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { afterAtMost, openBell } from './index.ts'

test('a ring between looking and waiting is not lost', async () => {
  const bell = openBell()
  const heard = bell.rings
  bell.ring()
  await bell.after(heard, AbortSignal.timeout(60_000))
})

test('one ring wakes every waiter, and an abort wakes its own', async () => {
  const bell = openBell()
  const abort = new AbortController()
  const aborted = bell.after(bell.rings, abort.signal)
  abort.abort()
  await aborted
  const waiting = [1, 2].map(() => bell.after(bell.rings, new AbortController().signal))
  bell.ring()
  await Promise.all(waiting)
})

test('a wait that is bounded ends with the ring, the time or the abort, whichever comes first', async () => {
  const clock = openTestClock()
  const bell = openBell()
  const signal = new AbortController().signal
  const rung = afterAtMost(bell, bell.rings, { ms: 1000, clock, signal })
  bell.ring()
  await rung
  const late = afterAtMost(bell, bell.rings, { ms: 1000, clock, signal })
  await clock.advance(1000)
  await late
  const abort = new AbortController()
  const aborted = afterAtMost(bell, bell.rings, { ms: 1000, clock, signal: abort.signal })
  abort.abort()
  await aborted
})
