import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openTestClock } from '#base/clock'
import { openRateLimit } from './rate-limit.ts'

describe('a rate limit', () => {
  it('lets a burst through, then as much as its rate', async () => {
    const clock = openTestClock()
    const limit = openRateLimit({ clock, perMinute: 6, burst: 3 })
    for (let i = 0; i < 3; i++) {
      assert.ok(limit.allows('a'))
      limit.spend('a')
    }
    assert.ok(!limit.allows('a'))
    assert.ok(limit.allows('b'))
    await clock.advance(10_000)
    assert.ok(limit.allows('a'))
    limit.spend('a')
    assert.ok(!limit.allows('a'))
  })

  it('never owes nor saves up beyond its burst', async () => {
    const clock = openTestClock()
    const limit = openRateLimit({ clock, perMinute: 1, burst: 1 })
    for (let i = 0; i < 5; i++) limit.spend('a')
    await clock.advance(60_000)
    assert.ok(limit.allows('a'))
    await clock.advance(600_000)
    limit.spend('a')
    assert.ok(!limit.allows('a'))
  })

  it('remembers a bounded number of callers and forgets the one unseen for longest', () => {
    const limit = openRateLimit({ clock: openTestClock(), perMinute: 1, burst: 1, maxKeys: 2 })
    for (const key of ['a', 'b', 'c']) limit.spend(key)
    assert.ok(!limit.allows('c'))
    assert.ok(limit.allows('a'))
  })
})
