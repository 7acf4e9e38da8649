import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { openConditions } from './conditions.ts'

function openSetting() {
  const told: string[] = []
  const clock = openTestClock()
  const conditions = openConditions({
    clock,
    log: silentLog,
    onCondition: ({ subject, type, status }) => told.push(`${subject} ${type}=${status}`),
  })
  return { told, clock, conditions }
}

const [subject, type] = ['service/s3', 'UpstreamVerified'] as const
const [bad, good] = [`${subject} ${type}=False`, `${subject} ${type}=True`]

test('what is new is said at once, the same again after a quarter of a second, and after five that all is well', async () => {
  const { told, clock, conditions } = openSetting()
  const raise = () => conditions.raise(subject, type, 'Any', 'wrong name')
  const clear = () => conditions.clear(subject, type)
  for (const say of [raise, raise, clear, clear]) say()
  assert.deepEqual(told.splice(0), [bad, good])
  raise()
  await clock.advance(250)
  raise()
  assert.deepEqual(told.splice(0), [bad, bad])
  clear()
  await clock.advance(4_999)
  clear()
  assert.deepEqual(told.splice(0), [good])
  await clock.advance(1)
  clear()
  assert.deepEqual(told, [good])
})

test('of what another worker finds wrong is said at once that it is well here', () => {
  const { told, conditions } = openSetting()
  conditions.clear(subject, type)
  conditions.doubt([{ subject, type: 'UpstreamReachable' }])
  conditions.clear(subject, type)
  assert.deepEqual(told.splice(0), [good], 'it was of something else')
  conditions.doubt([{ subject, type }])
  conditions.clear(subject, type)
  assert.deepEqual(told.splice(0), [good])

  conditions.raise(subject, type, 'Any', 'wrong name')
  conditions.doubt([{ subject, type }])
  conditions.raise(subject, type, 'Any', 'wrong name')
  assert.deepEqual(told, [bad], 'what it found wrong itself it has said')
})
