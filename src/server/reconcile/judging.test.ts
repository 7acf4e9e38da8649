import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Condition, Daemon, Kind, ResourceOf } from '#model/resource'
import { makeObject, objectsOf, streamOf, worldOf } from './fixture.ts'
import { openJudging } from './judging.ts'
import { keyOf } from './survey.ts'

/** One daemon, whose state is judged whenever that is due. */
function openBed() {
  const clock = openTestClock()
  let daemon: Daemon = makeObject('Daemon', 'one', {
    workloadID: 'riptides/daemon/one',
    claimerType: 'JoinToken',
  })
  let stream = streamOf('one')
  const judging = openJudging({
    cache: { get: <K extends Kind>() => daemon as ResourceOf<Kind> as ResourceOf<K> },
    writer: {
      set(object, next) {
        daemon = { ...daemon, status: next(object) }
      },
      [Symbol.asyncDispose]: async () => {},
    },
    clock,
    absences: { isAnyAwaited: () => false, isAwaited: () => false, isMissed: () => false },
  })
  const judge = () => judging.judgeSome(worldOf(objectsOf(daemon), { streams: [stream] }))
  judging.add([keyOf(daemon)])
  judge()
  return {
    /** The daemon is sent up to one revision, and has another in effect. */
    tell(sent: number, acknowledged: number) {
      stream = { ...stream, sent, acknowledged, synchronised: sent === acknowledged }
      judging.follow([keyOf(daemon)])
    },
    async pass(ms: number): Promise<Condition['status'] | undefined> {
      await clock.advance(ms)
      judge()
      return daemon.status?.conditions?.find(({ type }) => type === 'InSync')?.status
    },
  }
}

test('a daemon that does not put into effect what it was sent is said to wait for it, within a second', async () => {
  const bed = openBed()
  assert.equal(await bed.pass(0), 'True')
  bed.tell(2, 1)
  assert.equal(await bed.pass(400), 'True')
  assert.equal(await bed.pass(400), 'Unknown')
  bed.tell(2, 2)
  assert.equal(await bed.pass(400), 'True')
})

test('a daemon that is sent much, and is in time with each, is not said to wait', async () => {
  const bed = openBed()
  for (let revision = 2; revision < 10; revision += 1) {
    bed.tell(revision, revision - 1)
    assert.equal(await bed.pass(400), 'True')
  }
  // It has not got further than it was at the last look.
  assert.equal(await bed.pass(400), 'Unknown')
})
