import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openPollingPace } from './polling-pace.ts'

test('who asks too fast has to wait five seconds longer each time, and others do not', async () => {
  const clock = openTestClock()
  const pace = openPollingPace({ clock, seconds: 2 })
  const after = async (ms: number) => {
    await clock.advance(ms)
    return pace.isTooFast('one')
  }
  assert.equal(await after(0), false)
  assert.equal(await after(2000), false)
  // The request before was half a second longer on its way.
  assert.equal(await after(1500), false)
  assert.equal(await after(1000), true)
  assert.equal(await after(2000), true)
  assert.equal(pace.isTooFast('another'), false)
  assert.equal(await after(12_000), false)
  assert.equal(await after(7000), true)
})

test('strangers who ask without end take no more room, and those who ask on are not forgotten', () => {
  const pace = openPollingPace({ clock: openTestClock(), seconds: 2 })
  pace.isTooFast('kept')
  pace.isTooFast('gone')
  for (let other = 0; other < 4095; other++) {
    if (other === 2000) assert.equal(pace.isTooFast('kept'), true)
    pace.isTooFast(`other ${other}`)
  }
  assert.equal(pace.isTooFast('gone'), false)
  assert.equal(pace.isTooFast('kept'), true)
})
