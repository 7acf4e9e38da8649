import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { pacedLog, silentLog, type LogFields } from './index.ts'

test('an event that comes again and again is said a few times a minute, with how often it was not', async () => {
  const said: [string, LogFields | undefined][] = []
  const clock = openTestClock()
  const log = pacedLog({ ...silentLog, warn: (event, fields) => void said.push([event, fields]) }, clock)
  for (let pid = 1; pid <= 1000; pid++) log.warn('outbound.failed', { pid })
  log.warn('outbound.condition')
  assert.deepEqual(
    said.map(([event, fields]) => fields?.['pid'] ?? event),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 'outbound.condition'],
  )
  await clock.advance(60_000)
  log.warn('outbound.failed', { pid: 1001 })
  assert.deepEqual(said.at(-1), ['outbound.failed', { pid: 1001, unsaid: 990 }])
  log.warn('outbound.failed', { pid: 1002 })
  assert.deepEqual(said.at(-1), ['outbound.failed', { pid: 1002 }])
})
