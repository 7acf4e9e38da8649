import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { identityAdmission } from './admission.ts'
import { identity, makeObject } from './fixture.ts'

const mine = identity('mine', 'app/mine')
const node = makeObject('Daemon', 'node', { workloadID: 'nodes/web-1', claimerType: 'JoinToken' })
const admit = identityAdmission({
  identities: (workloadId) => [mine].filter(({ spec }) => spec.workloadID === workloadId),
  daemons: (workloadId) => [node].filter(({ spec }) => spec.workloadID === workloadId),
  isReserved: (workloadId) => workloadId.startsWith('riptides/daemon/') || workloadId === 'tideway/server',
  weakIdentities: 'refuse',
})

const refusals: [workloadID: string, namespace: string, why: RegExp][] = [
  ['tideway/server', 'riptides-system', /reserved/],
  ['riptides/daemon/anything', 'riptides-system', /reserved/],
  ['nodes/web-1', 'riptides-system', /belongs to a daemon/],
  ['app/mine', 'elsewhere', /belongs to namespace riptides-system/],
]

for (const [workloadID, namespace, why] of refusals) {
  test(`an identity in ${namespace} cannot have the workload ID ${workloadID}`, () => {
    const object = identity('thief', workloadID, {}, { namespace })
    for (const operation of ['create', 'update'] as const) {
      assert.throws(
        () => admit({ operation, object }),
        (error: Error) => isFault(error, 'RESOURCE_INVALID') && why.test(error.message),
      )
    }
    assert.deepEqual(admit({ operation: 'delete', object }), [])
  })
}

test('an identity that is there already can be labelled, and let go by its last finalizer, whatever it is', () => {
  const twin = identity('twin', 'nodes/web-1', { selectors: [{ 'process:name': 'x' }] })
  const previous = { ...twin, metadata: { ...twin.metadata, finalizers: ['example.org/keep'] } }
  assert.deepEqual(admit({ operation: 'update', object: twin, previous }), [])
  const metadata = { ...twin.metadata, generation: 2 }
  assert.throws(() => admit({ operation: 'update', object: { ...twin, metadata }, previous }), {
    code: 'RESOURCE_INVALID',
  })
})

test('selectors take 256 KiB at most, and one that has more already can be labelled, and made smaller', () => {
  const paths = (count: number) =>
    Array.from({ length: count }, (_, index) => `/opt/${index}`.padEnd(100, 'x'))
  const selecting = (...counts: number[]) => ({
    selectors: counts.map((count) => ({ 'process:uid': 1, 'process:binary:path': paths(count) })),
  })
  assert.deepEqual(admit({ operation: 'create', object: identity('a', 'app/a', selecting(1000, 1000)) }), [])
  const large = identity('b', 'app/b', selecting(1000, 1000, 1000))
  assert.throws(() => admit({ operation: 'create', object: large }), {
    code: 'RESOURCE_INVALID',
    message: /spec\.selectors: Too long: may not take more than 262144 bytes/,
  })
  assert.deepEqual(admit({ operation: 'update', object: large, previous: large }), [])
  const metadata = { ...large.metadata, generation: 2 }
  const smaller = { ...identity('b', 'app/b', selecting(1000)), metadata }
  assert.deepEqual(admit({ operation: 'update', object: smaller, previous: large }), [])
})

test('an identity that any local user can assume is refused where the setting says so', () => {
  const weak = identity('weak', 'app/weak', { selectors: [{ 'process:name': 'x' }] })
  assert.throws(() => admit({ operation: 'create', object: weak }), { code: 'API_FORBIDDEN' })
  assert.deepEqual(admit({ operation: 'create', object: identity('fine', 'app/fine') }), [])
})
