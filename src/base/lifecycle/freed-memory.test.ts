import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openTestClock } from '#base/clock'
import { returnFreedMemory } from './index.ts'

test('freed memory is back with the system five seconds later, until abort', async () => {
  const clock = openTestClock()
  const stop = new AbortController()
  const running = returnFreedMemory(clock, { signal: stop.signal })
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let held = Array.from({ length: 4_000 }, () => Buffer.alloc(16 << 10, 1))
  held = held.filter((_, index) => index % 1_000 === 999) // so that what is free does not lie at the end of the heap
  collect()
  collect() // buffers that the first found unused are freed while the second begins
  const before = process.memoryUsage.rss()
  await clock.advance(5_000)
  assert.ok(before - process.memoryUsage.rss() > 32 << 20)
  assert.equal(held.length, 4)
  stop.abort()
  await running
})
