import assert from 'node:assert/strict'
import { test } from 'node:test'
import { binding, identity, service, source, trustDomain } from './fixture.ts'
import { placeOf } from './plan.ts'
import { openPlanner } from './planner.ts'
import { openWaits } from './waits.ts'

const key = 'aws spiffe://example.org/app/a'
const over = ['app/a', 'daemon riptides/daemon/one']
const app = identity('a', 'app/a')
const aws = source('aws')
const guide = [app, aws, service('s3', ['s3.amazonaws.com']), service('sqs', ['sqs.amazonaws.com'])]
const s3 = binding('one', 'app/a', 'aws', 's3')

function openBed() {
  const planner = openPlanner(trustDomain)
  const ended: string[] = []
  const waits = openWaits((workloadId, identities) => ended.push(workloadId, ...identities.map(placeOf)))
  const taken = () => ended.splice(0)
  /** Whether daemons have to be told nothing for now, of each workload that changed. */
  const note = (action: 'set' | 'delete', ...objects: readonly Parameters<typeof planner.set>[0][]) => {
    for (const object of objects) planner[action](object)
    return planner.replan().map((replanned) => waits.note(replanned))
  }
  assert.deepEqual(note('set', ...guide), [false])
  return {
    note,
    nextEnd: () => waits.nextEnd(),
    /** Each returns whose wait it has ended, and where. */
    release: (key: string) => (waits.release(key), taken()),
    releaseDue: (at: number, isThere: (key: string) => boolean = () => false) => (
      waits.releaseDue(at, isThere),
      taken()
    ),
  }
}

test('a new binding waits for its credential', () => {
  const bed = openBed()
  assert.deepEqual(bed.note('set', s3), [true])
  assert.deepEqual(bed.releaseDue(1_000), [])
  assert.deepEqual(bed.release('other'), [])
  assert.deepEqual(bed.release(key), over)
  assert.deepEqual([bed.release(key), bed.nextEnd()], [[], Infinity])
})

test('it waits no longer than half a second, whatever else is bound meanwhile', () => {
  const bed = openBed()
  bed.note('set', s3)
  assert.deepEqual(bed.releaseDue(1_000), [])
  assert.deepEqual(bed.note('set', binding('two', 'app/a', 'aws', 'sqs')), [true])
  assert.deepEqual(bed.releaseDue(1_499), [])
  assert.equal(bed.nextEnd(), 1_500)
  assert.deepEqual(bed.releaseDue(1_500), over)
})

test('a credential that is there already, or a clock that is set back, ends the wait', () => {
  const bed = openBed()
  bed.note('set', s3)
  assert.deepEqual(
    bed.releaseDue(1_000, (one) => one === key),
    over,
  )
  bed.note('set', binding('two', 'app/a', 'aws', 'sqs'))
  assert.deepEqual(bed.releaseDue(1_000_000), [])
  assert.deepEqual(bed.releaseDue(1_000), over)
})

test('what changes or withdraws anything waits for nothing, and takes along what waits', () => {
  const bed = openBed()
  bed.note('set', s3)
  const narrower = identity('a', 'app/a', { selectors: [{ 'process:uid': 7, 'process:name': 'x' }] })
  assert.deepEqual(bed.note('set', { ...narrower, metadata: app.metadata }), [false])
  assert.equal(bed.nextEnd(), Infinity)
  assert.deepEqual(bed.note('delete', s3), [false])
  assert.deepEqual(bed.note('delete', app), [false])
})

test('daemons are told nothing of a binding that is not in force', () => {
  const bed = openBed()
  assert.deepEqual(bed.note('set', binding('two', 'app/a', 'nowhere', 's3')), [true])
  assert.equal(bed.nextEnd(), Infinity)
})
