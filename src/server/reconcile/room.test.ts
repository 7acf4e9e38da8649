import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Kind, ResourceOf } from '#model/resource'
import { binding, identity, planWithin, service, source } from './fixture.ts'
import type { Place } from './plan.ts'
import { maxScopeBytes, nothingLeftOut } from './room.ts'

const scope = { daemonGroup: { id: 'all' } }
const group: readonly Place[] = ['daemon riptides/daemon/one', 'group all']
/** An identity of the group that takes about so much. */
const sized = (name: string, bytes: number, namespace = 'riptides-system', where: object = scope) => {
  const selectors = [
    { 'process:uid': 1, 'process:name': Array(Math.ceil(bytes / 1000)).fill('x'.repeat(997)) },
  ]
  return identity(name, `app/${name}`, { scope: where, selectors }, { namespace })
}

function leftOutOf(kilobytes: number, ...objects: readonly ResourceOf<Kind>[]) {
  const { workloads, bindings, namespaces } = planWithin(kilobytes * 1000, ...objects).leftOut(group)
  const names = [...workloads].map((id) => id.replace('spiffe://example.org/app/', ''))
  return [names.sort(), [...bindings.keys()].sort(), [...namespaces].sort()]
}

test('a scope takes twelve mebibytes of the groups of a daemon, and as much for itself alone', () => {
  const whole = Array.from({ length: 12 }, (_, index) => sized(`a${index}`, 1_000_000))
  const alone = whole.map(({ metadata: { name } }) =>
    sized(`own-${name}`, 1_000_000, 'riptides-system', { daemon: { id: 'riptides/daemon/one' } }),
  )
  assert.equal(maxScopeBytes, 12 * 1024 * 1024)
  assert.equal(planWithin(undefined, ...whole, ...alone).leftOut(group), nothingLeftOut)
  const more = planWithin(undefined, ...whole, ...alone, sized('b', 1_000_000)).leftOut(group)
  assert.deepEqual([...more.workloads], ['spiffe://example.org/app/b'])
})

test('the oldest of a namespace is taken, and what is too large is in the way of nobody', () => {
  const [a, b, c, d] = [sized('a', 4_000), sized('b', 9_000), sized('c', 4_000), sized('d', 4_000)]
  assert.deepEqual(leftOutOf(10, d, c, b, a), [['b', 'd'], [], ['riptides-system']])
})

test('namespaces share a scope equally, and one leaves to the others what it does not take', () => {
  const small = sized('small', 2_000, 'first')
  const large = [1, 2, 3, 4, 5, 6].map((index) => sized(`large-${index}`, 5_000, 'second'))
  const late = [1, 2].map((index) => sized(`late-${index}`, 4_000, 'third'))
  const expected = [['large-4', 'large-5', 'large-6'], [], ['second']]
  assert.deepEqual(leftOutOf(31, small, ...large, ...late), expected)
  // Two that want more than there is have the same.
  const more = Array.from({ length: 10 }, (_, index) => sized(`more-${index}`, 4_000, 'third'))
  const [workloads, , namespaces] = leftOutOf(31, small, ...large, ...more) as [string[], string[], string[]]
  assert.deepEqual(namespaces, ['second', 'third'])
  assert.deepEqual(
    ['large', 'more'].map((name) => workloads.filter((one) => one.startsWith(name)).length),
    [4, 8],
  )
})

test('a binding goes with its workload, or alone; a Service that several have takes room once', () => {
  const caBundle = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(40_000)}\n-----END CERTIFICATE-----`
  const shared = [
    source('aws'),
    service('s3', ['s3.amazonaws.com'], { caBundle }),
    ...['a', 'b', 'c'].flatMap((name) => [sized(name, 1_000), binding(name, `app/${name}`, 'aws', 's3')]),
  ]
  assert.deepEqual(leftOutOf(66, ...shared), [[], [], []])
  assert.deepEqual(leftOutOf(64, ...shared), [[], ['c'], ['riptides-system']])
  // Its identity is as old as it was, and what it says takes more.
  const [, , , , b, ...others] = shared
  const grown = { ...b, spec: sized('b', 30_000).spec } as typeof b
  const expected = [['b'], ['b'], ['riptides-system']]
  assert.deepEqual(leftOutOf(66, ...shared.slice(0, 4), grown!, ...others), expected)
})

test('what is bound to a workload that is left out takes no room from what is younger', () => {
  const older = [source('aws'), service('s3', ['s3.amazonaws.com']), binding('old', 'app/big', 'aws', 's3')]
  const expected = [['big'], ['old'], ['riptides-system']]
  assert.deepEqual(leftOutOf(12, ...older, sized('big', 20_000), sized('young', 9_000)), expected)
})

test('hosts are counted, for they take more than their names', () => {
  const hosts = (count: number) => Array.from({ length: count }, (_, index) => `h${index}.amazonaws.com`)
  const objects = (count: number) => [
    sized('a', 1_000),
    source('aws'),
    service('s3', hosts(count)),
    binding('one', 'app/a', 'aws', 's3'),
  ]
  assert.deepEqual(leftOutOf(100, ...objects(40)), [[], [], []])
  assert.deepEqual(leftOutOf(100, ...objects(50)), [[], ['one'], ['riptides-system']])
})

test('many small selectors are counted, for they take more than their text', () => {
  const selectors = Array.from({ length: 1_000 }, (_, index) => ({
    'process:uid': index,
    'systemd:unit': 'x',
  }))
  const many = identity('many', 'app/many', { scope, selectors })
  assert.ok(JSON.stringify(selectors).length < 60_000)
  assert.deepEqual(leftOutOf(300, many), [[], [], []])
  assert.deepEqual(leftOutOf(200, many), [['many'], [], ['riptides-system']])
})

test('what fits is found in no time, however much there is, for daemons of many groups beside a full one', () => {
  const objects = Array.from({ length: 10_000 }, (_, index) =>
    identity(`i${index}`, `app/${index}`, { scope }, { namespace: 'large' }),
  )
  const groups = Array.from({ length: 600 }, (_, index) => `g${index}`)
  const own = groups.map((id) => identity(id, `${id}/app`, { scope: { daemonGroup: { id } } }))
  const { leftOut } = planWithin(2_000_000, ...objects, ...own)
  const began = performance.now()
  for (const id of groups) {
    const { namespaces } = leftOut(['daemon riptides/daemon/one', 'group all', `group ${id}`])
    assert.deepEqual([...namespaces], ['large'])
  }
  assert.ok(performance.now() - began < 4_000)
})
