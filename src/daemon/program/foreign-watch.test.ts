import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Counters } from '#daemon/capture'
import { openConditionBoard } from './conditions.ts'
import { openForeignWatch } from './foreign-watch.ts'

test('what is left alone in other network namespaces shows on the daemon for a while', async () => {
  const clock = openTestClock()
  const board = openConditionBoard()
  let foreignNetns = 5
  const capture = { counters: () => ({ foreignNetns }) as Counters }
  const watch = openForeignWatch({ capture, board, clock })
  const said = () => {
    watch.look()
    return board.all().map(({ subject, type, status, reason }) => [subject, type, status, reason].join(' '))
  }
  assert.deepEqual(said(), [], 'what an earlier daemon left alone')
  foreignNetns++
  assert.deepEqual(said(), ['daemon NotCapturable True OtherNetns'])
  await clock.advance(300_000)
  assert.equal(said().length, 1)
  await clock.advance(300_000)
  assert.deepEqual(said(), [])
})
