import { test } from 'node:test'
import { openBell } from './index.ts'

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
