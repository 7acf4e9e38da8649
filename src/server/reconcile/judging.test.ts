import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Condition, Daemon, Kind, ResourceOf, Service } from '#model/resource'
import { binding, identity, makeObject, objectsOf, service, source, streamOf, worldOf } from './fixture.ts'
import { openJudging } from './judging.ts'
import { keyOf } from './survey.ts'

const nobodyAway = { isAnyAwaited: () => false, isAwaited: () => false, isMissed: () => false }

/** Judging of one object, which has the state then that it is given. */
function judgingOf<O extends Daemon | Service>(first: O, absences = nobodyAway) {
  const clock = openTestClock()
  let object = first
  const judging = openJudging({
    cache: { get: <K extends Kind>() => object as ResourceOf<Kind> as ResourceOf<K> },
    writer: {
      set(judged, next) {
        object = { ...object, status: next(judged) }
      },
      [Symbol.asyncDispose]: async () => {},
    },
    clock,
    absences,
  })
  judging.add([keyOf(first)])
  return { clock, judging, object: () => object }
}

/** One daemon, whose state is judged whenever that is due. */
function openBed() {
  const first = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
  const { clock, judging, object: daemon } = judgingOf(first)
  let stream = streamOf('one')
  const judge = () => judging.judgeSome(worldOf(objectsOf(daemon()), { streams: [stream] }))
  judge()
  return {
    /** The daemon is sent up to one revision, and has another in effect. */
    tell(sent: number, acknowledged: number) {
      stream = { ...stream, sent, acknowledged, synchronised: sent === acknowledged }
      judging.follow([keyOf(daemon())])
    },
    async pass(ms: number): Promise<Condition['status'] | undefined> {
      await clock.advance(ms)
      judge()
      return daemon().status?.conditions?.find(({ type }) => type === 'InSync')?.status
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

test('what a daemon found of a Service stands while it is on its way back, and no longer', async () => {
  const message = 'on daemon one: it cannot be reached: see whether the host is up'
  const condition = { type: 'UpstreamReachable', status: 'False', reason: 'Any', message } as const
  const conditions = [{ ...condition, lastTransitionTime: '2026-01-01T00:00:00Z' }]
  const status = { state: 'FAILED' as const, message, observedGeneration: 1, conditions }
  const first: Service = { ...service('s3', ['s3.amazonaws.com']), status }
  const daemon = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
  const others = [
    daemon,
    identity('a', 'app/a'),
    source('aws'),
    binding('one', 'app/a', 'aws', 's3'),
  ] as const
  let isAwaited = true
  const absences = { isAnyAwaited: () => isAwaited, isAwaited: () => isAwaited, isMissed: () => !isAwaited }
  const { clock, judging, object: s3 } = judgingOf(first, absences)
  const judge = () => judging.judgeSome(worldOf(objectsOf(s3(), ...others)))
  judge()
  await clock.advance(1_000)
  judge()
  assert.equal(s3().status?.state, 'FAILED')
  isAwaited = false
  await clock.advance(1_000)
  judge()
  assert.equal(s3().status?.state, 'OK')
})
