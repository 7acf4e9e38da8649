import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { binding, identity, makeObject, planOf as plan, service, source, trustDomain } from './fixture.ts'
import { openPlanner } from './planner.ts'

test('the plan is the same in whatever order the objects came', () => {
  const objects = [
    identity('a', 'app/a'),
    identity('b', 'app/b'),
    identity('thief', 'app/a', {}, { namespace: 'other' }),
    source('aws'),
    service('s3', ['s3.amazonaws.com']),
    service('sqs', ['sqs.amazonaws.com']),
    binding('one', 'app/a', 'aws', 's3'),
    binding('two', 'app/a', 'aws', 's3'),
    binding('three', 'app/b', 'aws', 'sqs'),
    binding('four', 'app/c', 'aws', 'sqs'),
  ]
  const told = (shuffled: typeof objects) => {
    const { identities, shadowed, bindings, problems } = plan(...shuffled)
    const sorted = (items: Iterable<string>) => [...items].sort()
    return {
      identities: sorted(identities.keys()),
      shadowed: sorted(shadowed.keys()),
      bindings: sorted([...bindings.values()].map(({ scoped }) => JSON.stringify(scoped))),
      problems: sorted([...problems].map((problem) => JSON.stringify(problem))),
    }
  }
  const expected = told(objects)
  assert.deepEqual(
    expected.bindings.map((text) => (JSON.parse(text) as { name: string }).name),
    ['three'],
  )
  fc.assert(
    fc.property(fc.shuffledSubarray(objects, { minLength: objects.length }), (shuffled) => {
      assert.deepEqual(told(shuffled), expected)
    }),
  )
})

test('two bindings for one host of one identity: neither is in force, and each names the other', () => {
  const shared = [
    identity('a', 'app/a'),
    identity('b', 'app/b'),
    source('aws'),
    service('exact', ['bucket.s3.amazonaws.com']),
    service('wild', ['*.s3.amazonaws.com']),
    service('other', ['sqs.amazonaws.com']),
  ]
  const one = binding('one', 'app/a', 'aws', 'exact')
  const two = binding('two', 'app/a', 'aws', 'wild')
  const { problems, bindings } = plan(
    ...shared,
    one,
    two,
    binding('elsewhere', 'app/a', 'aws', 'other'),
    binding('of-another', 'app/b', 'aws', 'exact'),
  )
  assert.match(problems.get(one.metadata.uid)!.message, /CredentialBinding two .* bucket\.s3/)
  assert.match(problems.get(two.metadata.uid)!.message, /CredentialBinding one /)
  assert.deepEqual(
    [...problems.values()].map(({ state }) => state),
    ['FAILED', 'FAILED'],
  )
  assert.deepEqual([...bindings.values()].map(({ scoped }) => scoped.name).sort(), [
    'elsewhere',
    'of-another',
  ])
})

/** Whether bindings of one workload for these hosts are both in force. */
const areBothInForce = (first: readonly string[], second: readonly string[]) =>
  plan(
    identity('a', 'app/a'),
    source('aws'),
    service('first', first),
    service('second', second),
    binding('one', 'app/a', 'aws', 'first'),
    binding('two', 'app/a', 'aws', 'second'),
  ).bindings.size === 2

test('a wildcard stands for exactly one label', () => {
  for (const host of ['x.a.com', '*.a.com']) {
    assert.ok(!areBothInForce(['*.a.com'], ['b.com', host]))
    assert.ok(!areBothInForce(['b.org', host], ['*.a.com']))
  }
  for (const host of ['a.com', 'x.y.a.com', '*.x.a.com', 'xa.com', 'x.b.com'])
    assert.ok(areBothInForce(['*.a.com'], [host]))
})

test('bindings of one workload with many hosts each are planned in no time', () => {
  const hosts = (from: number) => Array.from({ length: 1_000 }, (_, index) => `h${from + index}.a.com`)
  const many = Array.from({ length: 60 }, (_, index) => [
    service(`s${index}`, hosts(index * 1_000)),
    binding(`b${index}`, 'app/a', 'aws', `s${index}`),
  ]).flat()
  const began = performance.now()
  const { bindings } = plan(identity('a', 'app/a'), source('aws'), ...many)
  assert.equal(bindings.size, 60)
  assert.ok(performance.now() - began < 10_000)
})

test('one identity more of a workload that has thousands is planned in no time', () => {
  const planner = openPlanner(trustDomain)
  for (let index = 0; index < 4_000; index++) planner.set(identity(`i${index}`, 'app/a'))
  planner.replan()
  planner.set(identity('more', 'app/a'))
  const began = performance.now()
  const [replanned] = planner.replan()
  assert.ok(performance.now() - began < 5_000)
  assert.equal(replanned?.after.identities.length, 4_001)
  assert.ok(replanned.before.identities.every((one, index) => one === replanned.after.identities[index]))
})

test('the oldest namespace keeps a workload ID; within one namespace several identities share it', () => {
  const first = identity('first', 'app/a')
  const thief = identity('thief', 'app/a', {}, { namespace: 'other' })
  const { identities, shadowed } = plan(thief, identity('second', 'app/a'), first)
  assert.deepEqual([...identities.keys()].sort(), ['first', 'second'])
  assert.equal(shadowed.get(thief.metadata.uid)?.name, 'first')
})

test('a workload ID that a daemon has is no identity’s, whichever came first', () => {
  const twin = identity('twin', 'nodes/a')
  const node = makeObject('Daemon', 'node', { workloadID: 'nodes/a', claimerType: 'JoinToken' })
  const bound = binding('b', 'nodes/a', 'aws', 's3')
  const rest = [source('aws'), service('s3', ['s3.amazonaws.com']), bound]
  for (const objects of [
    [twin, node, ...rest],
    [...rest, node, twin],
  ]) {
    const { identities, shadowed, bindings, targets, problems } = plan(...objects)
    assert.deepEqual([identities.size, bindings.size, targets.size], [0, 0, 0])
    assert.equal(shadowed.get(twin.metadata.uid)?.name, 'node')
    assert.match(
      problems.get(bound.metadata.uid)!.message,
      /belongs to Daemon node: correct spec\.workloadID/,
    )
  }
  assert.equal(plan(twin, ...rest).bindings.size, 1)
})

test('a binding finds identity, source and Services in its own namespace only', () => {
  const other = { namespace: 'other' }
  const mine = binding('mine', 'app/a', 'aws', 's3', {}, other)
  const objects = [
    identity('a', 'app/a'),
    source('aws', {}, other),
    service('s3', ['s3.amazonaws.com'], {}, other),
  ]
  const foreign = plan(mine, ...objects)
  assert.match(foreign.problems.get(mine.metadata.uid)!.message, /is in namespace riptides-system/)
  const own = plan(mine, identity('a', 'app/a', {}, other), source('aws', {}, other), ...objects.slice(2))
  const [planned] = own.bindings.values()
  assert.deepEqual(
    planned?.services.map(({ name }) => name),
    ['other/s3'],
  )
  assert.deepEqual(planned.scoped, {
    name: 'other/mine',
    spiffeId: 'spiffe://example.org/app/a',
    sourceName: 'other/aws',
    serviceNames: ['other/s3'],
    minimumCapture: 'process',
    allowCredentialIssuance: false,
  })
})

test('Services are selected by all labels of one selector, any of several', () => {
  const labels = { team: 'x', app: 's3' }
  const chosen = plan(
    identity('a', 'app/a'),
    source('aws'),
    service('both', ['a.com'], { labels }),
    service('half', ['b.com'], { labels: { app: 's3' } }),
    service('third', ['c.com'], { labels: { app: 'third' } }),
    binding('one', 'app/a', 'aws', '', {
      propagation: { injection: { selectors: [labels, { app: ['third', 'none'] }] } },
    }),
  )
  assert.deepEqual([...chosen.bindings.values()][0]?.scoped.serviceNames, ['both', 'third'])
  assert.deepEqual(
    [...chosen.bindingsOfService.get('third')!].map(({ scoped }) => scoped.name),
    ['one'],
  )
})

test('an alternative that no attestor can meet stays out of scopes', () => {
  const { identities } = plan(
    identity('a', 'app/a', { selectors: [{ 'k8s:label:app': 'x' }, { 'process:uid': [1, 2] }] }),
  )
  assert.deepEqual(identities.get('a')?.scoped.selectors, [{ 'process:uid': ['1', '2'] }])
})

test('delivery by file alone and sources of other clouds are refused with their reason', () => {
  const file = binding('file', 'app/a', 'aws', '', { propagation: { sysfs: {} } })
  const gcp = binding('gcp', 'app/a', 'gcp', 's3')
  const { problems } = plan(
    identity('a', 'app/a'),
    source('aws'),
    makeObject('CredentialSource', 'gcp', { gcp: {} }),
    service('s3', ['s3.amazonaws.com']),
    file,
    gcp,
  )
  assert.equal(problems.get(file.metadata.uid)?.reason, 'Unsupported')
  assert.equal(problems.get(gcp.metadata.uid)?.reason, 'Unsupported')
})

test('a binding to an external Service without TLS is not in force, however both came, unless it says why', () => {
  const shared = [identity('a', 'app/a'), source('aws')]
  const outside = (rest: object) => service('outside', ['a.example.org'], { external: true, ...rest })
  const one = binding('one', 'app/a', 'aws', 'outside')
  for (const objects of [
    [one, outside({})],
    [outside({}), one],
  ]) {
    const { problems, bindings, targets } = plan(...shared, ...objects)
    assert.deepEqual(problems.get(one.metadata.uid), {
      state: 'FAILED',
      reason: 'PlainText',
      message:
        'it would send its credential without TLS to spec.addresses[0] of the external Service outside: ' +
        'give it port 443, or say why this is safe in spec.plainTextReason of the binding',
    })
    assert.deepEqual([bindings.size, targets.size], [0, 0])
  }
  const safe = outside({ addresses: [{ address: 'a.example.org', port: 443 }] })
  assert.equal(plan(...shared, one, safe).bindings.size, 1)
  const reasoned = binding('one', 'app/a', 'aws', 'outside', { plainTextReason: 'a cable' })
  assert.equal(plan(...shared, reasoned, outside({})).bindings.size, 1)
})
