import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffMs, jittered, openTestClock, systemClock } from '#base/clock'

test('the test clock wakes sleepers in the order of their deadlines, and only those that are due', async () => {
  const clock = openTestClock()
  const woken: string[] = []
  const sleeper = async (name: string, ms: number) => {
    await clock.sleep(ms)
    woken.push(name)
  }
  const sleepers = [sleeper('late', 300), sleeper('early', 100), sleeper('never', 10_000)]
  await clock.untilArmed(3)
  await clock.advance(300)
  assert.deepEqual(woken, ['early', 'late'])
  await clock.advance(10_000)
  await Promise.all(sleepers)
})

for (const [name, clock] of [
  ['system', systemClock],
  ['test', openTestClock()],
] as const) {
  test(`aborting ends a sleep on the ${name} clock with the signal's reason`, async () => {
    const controller = new AbortController()
    const enough = new Error('enough')
    const isReason = (error: unknown) => error === enough
    const sleep = clock.sleep(60_000, { signal: controller.signal })
    controller.abort(enough)
    await assert.rejects(sleep, isReason)
    await assert.rejects(clock.sleep(60_000, { signal: controller.signal }), isReason)
  })
}

test('back-off doubles up to its ceiling and never leaves the upper half of it', () => {
  for (const random of [() => 0, () => 0.999]) {
    const delays = [0, 1, 2, 50].map((attempt) => backoffMs(attempt, { baseMs: 100, maxMs: 350, random }))
    const ceilings = [100, 200, 350, 350]
    delays.forEach((delay, at) => assert.ok(delay >= ceilings[at]! / 2 && delay <= ceilings[at]!))
  }
})

test('jitter only ever shortens', () => {
  assert.equal(
    jittered(100, 0.1, () => 0),
    100,
  )
  assert.equal(
    jittered(100, 0.1, () => 1),
    90,
  )
})

test('a wait of more than the 24 days of a timer does not end at once, and ends', async (t) => {
  const days = 86_400_000
  const early = await new Promise((resolve) => {
    const cancel = systemClock.after(30 * days, () => resolve(true), { unref: true })
    setTimeout(() => resolve(cancel()), 20)
  })
  assert.equal(early, undefined)

  t.mock.timers.enable({ apis: ['setTimeout'] })
  let fired = 0
  systemClock.after(30 * days, () => fired++)
  const cancel = systemClock.after(30 * days, () => fired++)
  t.mock.timers.tick(2 ** 31 - 1)
  cancel()
  assert.equal(fired, 0)
  t.mock.timers.tick(30 * days - (2 ** 31 - 1))
  assert.equal(fired, 1)
})

test('that the clock was set is noticed within a second, and ends the waits for a moment of it', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let setBy = 0
  const wall = Date.now
  t.mock.method(Date, 'now', () => wall() + setBy)
  const jumps: number[] = []
  const stop = systemClock.onJump((byMs) => jumps.push(Math.round(byMs / 1000)))
  const hours = (count: number) => count * 3_600_000
  const wait = systemClock.until(systemClock.now() + hours(2), { unref: true })
  for (const by of [1, 0, -3]) {
    setBy += hours(by)
    t.mock.timers.tick(1000)
  }
  await wait
  stop()
  setBy += hours(1)
  t.mock.timers.tick(1000)
  assert.deepEqual(jumps, [3600, -10_800])
})

test('a wait for a moment ends when that has come', async () => {
  const clock = openTestClock()
  const wait = clock.until(clock.now() + 5000)
  await clock.advance(5000)
  await wait
  const stop = new AbortController()
  const stopped = clock.until(clock.now() + 5000, { signal: stop.signal })
  stop.abort()
  await assert.rejects(stopped)
})
