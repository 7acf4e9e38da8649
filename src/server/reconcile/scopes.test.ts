import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { credentialId, type AwsCredential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import { applyScopeUpdate, type Scope } from '#model/scope'
import { openChanges } from './changes.ts'
import {
  binding,
  credentialNamed,
  daemonNamed,
  identity,
  planOf,
  planWithin,
  service,
  source,
} from './fixture.ts'
import { deltaBetween, scopeFor } from './scope-delta.ts'
import { openScopes } from './scopes.ts'

const inGroup = (id: string) => ({ scope: { daemonGroup: { id } } })
const guide = () => [
  identity('a', 'app/a'),
  source('aws'),
  service('s3', ['s3.amazonaws.com', 'S3.us-east-1.amazonaws.com']),
  binding('one', 'app/a', 'aws', 's3'),
]
const key = 'aws spiffe://example.org/app/a'

async function next(updates: AsyncIterator<unknown>) {
  const { value } = (await updates.next()) as { value: Parameters<typeof applyScopeUpdate>[1] }
  return value
}

function follow(scopes: ReturnType<typeof openScopes>, daemon = daemonNamed('one')) {
  const stop = new AbortController()
  const updates = scopes.follow(daemon, { signal: stop.signal })[Symbol.asyncIterator]()
  return { stop, updates }
}

test('a scope holds what its identities need and nothing else', () => {
  const plan = planOf(
    ...guide(),
    identity('b', 'app/b', inGroup('blue')),
    service('sqs', ['sqs.amazonaws.com']),
    binding('two', 'app/b', 'aws', 'sqs'),
    service('unbound', ['x.com']),
  )
  const credential = credentialNamed('ASIA1')
  const sizes = (scope: Scope) =>
    Object.values(scope).map((part: ReadonlyMap<string, unknown>) => [...part.keys()])
  assert.deepEqual(sizes(scopeFor(plan, daemonNamed('one'), () => credential)), [
    ['a'],
    ['s3'],
    ['one'],
    [key],
  ])
  assert.deepEqual(sizes(scopeFor(plan, daemonNamed('two', { groups: ['blue'] }), () => credential)), [
    ['b'],
    ['sqs'],
    ['two'],
    ['aws spiffe://example.org/app/b'],
  ])
  assert.deepEqual(sizes(scopeFor(plan, daemonNamed('three'), () => credential)), [[], [], [], []])
  const weak = daemonNamed('one', { captureLevel: 'workload' })
  assert.deepEqual(sizes(scopeFor(plan, weak, () => credential)), [['a'], ['s3'], ['one'], []])
})

test('deltas turn any scope into any other', () => {
  const credentials = [credentialNamed('ASIA1'), credentialNamed('ASIA2'), undefined]
  const someScope = fc
    .record({
      capture: fc.constantFrom('process', 'user'),
      hosts: fc.subarray(['a.com', 'b.com', 'c.com'], { minLength: 1 }),
      names: fc.subarray(['one', 'two', 'three']),
      credential: fc.constantFrom(...credentials),
    })
    .map(({ capture, hosts, names, credential }) => {
      const plan = planOf(
        identity('a', 'app/a'),
        source('aws'),
        ...names.flatMap((name) => [
          service(
            name,
            hosts.map((host) => `${name}.${host}`),
          ),
          binding(name, 'app/a', 'aws', name, { minimumCapture: capture }),
        ]),
      )
      return scopeFor(plan, daemonNamed('one'), () => credential)
    })
  fc.assert(
    fc.property(someScope, someScope, (before, after) => {
      const delta = deltaBetween(before, after)
      const applied = delta ? applyScopeUpdate(before, { revision: 1, reset: false, ...delta }) : before
      for (const part of ['identities', 'services', 'bindings', 'credentials'] as const) {
        assert.deepEqual(applied[part], after[part])
      }
      assert.equal(deltaBetween(applied, after), undefined)
    }),
    { numRuns: 50 },
  )
})

test('a stream begins with everything and goes on with what changed, in one step however much it was', async () => {
  const scopes = openScopes({ changes: openChanges() })
  const { updates } = follow(scopes)
  const first = next(updates)
  const objects = guide()
  scopes.publish(planOf(...objects), () => undefined)
  const reset = await first
  assert.deepEqual([reset.revision, reset.reset, reset.upsert.bindings.length], [1, true, 1])
  const second = next(updates)
  let credential: AwsCredential | undefined = credentialNamed('ASIA1')
  scopes.publish(planOf(...objects), () => credential)
  scopes.publish(planOf(...objects.slice(0, 3)), () => credential)
  credential = credentialNamed('ASIA2')
  scopes.publish(planOf(...objects), () => credential)
  const delta = await second
  assert.deepEqual([delta.revision, delta.reset], [2, false])
  assert.deepEqual(
    delta.upsert.credentials.map(({ credential }) => credentialId(credential)),
    ['ASIA2'],
  )
  assert.equal(delta.upsert.bindings.length + delta.remove.bindings.length, 0)
})

test('an effect is OK from the revision that brought it on, and a rotation does not take that back', async () => {
  const scopes = openScopes({ changes: openChanges() })
  const { updates } = follow(scopes)
  const objects = guide()
  const [planned] = planOf(...objects).bindings.values()
  const effect = () => scopes.streams()[0]!.effectOf(planned!).state
  scopes.publish(planOf(...objects), () => undefined)
  await next(updates)
  scopes.acknowledge('one', 1)
  assert.equal(effect(), 'PENDING')
  scopes.publish(planOf(...objects), () => credentialNamed('ASIA1'))
  assert.equal(effect(), 'PENDING')
  await next(updates)
  assert.equal(effect(), 'PENDING')
  scopes.acknowledge('one', 2)
  assert.equal(effect(), 'OK')
  scopes.publish(planOf(...objects), () => credentialNamed('ASIA2'))
  assert.equal(effect(), 'OK')
  const changed = service('s3', ['other.amazonaws.com'])
  scopes.publish(planOf(objects[0]!, objects[1]!, changed, objects[3]!), () => credentialNamed('ASIA3'))
  assert.equal(effect(), 'PENDING')
  await next(updates)
  scopes.acknowledge('one', 3, 'no memory')
  assert.deepEqual(scopes.streams()[0]!.effectOf(planned!), {
    state: 'FAILED',
    message: 'no memory',
  })
  scopes.acknowledge('one', 3)
  assert.equal(effect(), 'OK')
  assert.equal(scopes.streams()[0]!.synchronised, true)
})

test('acknowledgements of what was never sent count for nothing', async () => {
  const scopes = openScopes({ changes: openChanges() })
  const { updates } = follow(scopes)
  const plan = planOf(...guide())
  scopes.publish(plan, () => credentialNamed('ASIA1'))
  await next(updates)
  scopes.acknowledge('one', 7)
  scopes.acknowledge('nobody', 1)
  const [planned] = plan.bindings.values()
  assert.equal(scopes.streams()[0]!.effectOf(planned!).state, 'PENDING')
})

test('a second stream of one daemon ends the first; an abort ends its own', async () => {
  const scopes = openScopes({ changes: openChanges() })
  scopes.publish(planOf(...guide()), () => undefined)
  const first = follow(scopes)
  await next(first.updates)
  const ended = first.updates.next()
  const second = follow(scopes)
  await next(second.updates)
  assert.equal((await ended).done, true)
  assert.equal(scopes.streams().length, 1)
  const over = second.updates.next()
  second.stop.abort()
  assert.equal((await over).done, true)
  assert.deepEqual(scopes.streams(), [])
})

test('the hosts of an intermediate are those bound in the scope of this daemon', async () => {
  const scopes = openScopes({ changes: openChanges() })
  scopes.publish(planOf(...guide()), () => undefined)
  const { updates } = follow(scopes)
  await next(updates)
  assert.deepEqual(scopes.boundHosts('one'), ['s3.amazonaws.com', 's3.us-east-1.amazonaws.com'])
  assert.deepEqual(scopes.boundHosts('two'), [])
})

test('what a daemon says and does not repeat is over', async () => {
  const scopes = openScopes({ changes: openChanges() })
  scopes.publish(planOf(...guide()), () => undefined)
  const { updates, stop } = follow(scopes)
  await next(updates)
  const condition = {
    subject: 'Service/s3',
    type: 'Any',
    status: 'False',
    reason: 'Any',
    message: '',
  } as const
  scopes.observe('one', [condition])
  assert.deepEqual(scopes.streams()[0]!.conditions, [condition])
  scopes.observe('one', [])
  assert.deepEqual(scopes.streams()[0]!.conditions, [])
  stop.abort()
})

test('a daemon speaks of itself and of what it has, and of nothing else', async () => {
  const scopes = openScopes({ changes: openChanges() })
  scopes.publish(planOf(...guide()), () => undefined)
  const { updates, stop } = follow(scopes)
  const { upsert } = await next(updates)
  const [binding] = upsert.bindings
  const say = (subject: string) =>
    ({ subject, type: 'Any', status: 'False', reason: 'Any', message: 'run this' }) as const
  const own = ['daemon', `credentialbinding/${binding!.name}`, 'Service/s3'].map(say)
  const others = ['daemon/two', 'service/other', 'workloadidentity/team/a', 'secret/s3', 's3', ''].map(say)
  scopes.observe('one', [...others, ...own])
  assert.deepEqual(scopes.streams()[0]!.conditions, own)
  stop.abort()
})

test('what a daemon says of an object is over when it has that no more, and heard when it has it later', async () => {
  const changes = openChanges()
  const scopes = openScopes({ changes })
  const { updates, stop } = follow(scopes)
  const first = next(updates)
  const condition = {
    subject: 'service/s3',
    type: 'Any',
    status: 'False',
    reason: 'Any',
    message: 'bad',
  } as const
  // As when the server has just started: nothing is known yet.
  scopes.observe('one', [condition])
  assert.deepEqual(scopes.streams()[0]!.conditions, [])
  for (const [plan, expected] of [
    [planOf(...guide()), [condition]],
    [planOf(), []],
    [planOf(...guide()), [condition]],
  ] as const) {
    changes.take()
    scopes.publish(plan, () => undefined)
    if (plan.bindings.size > 0) await first
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(scopes.streams()[0]!.conditions, expected)
    assert.deepEqual([...changes.take().daemons], ['one'])
  }
  stop.abort()
})

test('a group of daemons is told in turns: each is, and nothing that was withdrawn before its turn', async () => {
  const changes = openChanges()
  const scopes = openScopes({ changes })
  const everywhere = [...guide().slice(1), identity('a', 'app/a', inGroup('all'))]
  const credential = credentialNamed('ASIA1')
  scopes.publish(planOf(), () => undefined)
  const streams = Array.from({ length: 50 }, (_, index) => {
    const { updates } = follow(scopes, daemonNamed(`d${index}`, { groups: ['all'] }))
    return updates
  })
  for (const updates of streams) await next(updates)
  const granted = streams.map(next)
  scopes.publish(planOf(...everywhere), () => credential)
  // Whoever asks about all meanwhile changes nothing of it.
  assert.deepEqual(
    scopes.streamsAt('group all').map(({ synchronised }) => synchronised),
    streams.map(() => false),
  )
  for (const update of await Promise.all(granted)) {
    assert.deepEqual([update.upsert.bindings.length, update.upsert.credentials.length], [1, 1])
  }
  const withdrawn = streams.map(next)
  scopes.publish(planOf(), () => credential)
  scopes.publish(planOf(...everywhere), () => undefined)
  for (const update of await Promise.all(withdrawn)) {
    assert.deepEqual(update.upsert.credentials, [])
    assert.deepEqual(update.remove.credentials, [key])
  }
})

test('what grows takes the room of what is younger, until it is small again, and the stream goes on', async () => {
  const scopes = openScopes({ changes: openChanges() })
  const small = identity('a', 'app/a')
  const large = {
    ...small,
    spec: identity('a', 'app/a', { selectors: [{ 'process:name': 'x'.repeat(4_000) }] }).spec,
  }
  const others = [...guide().slice(1), identity('b', 'app/b'), binding('two', 'app/b', 'aws', 's3')]
  /** Nothing is said to have changed but the workload that grows. */
  const where = new Map([
    ['daemon riptides/daemon/one', new Set([parseSpiffeId('spiffe://example.org/app/a')])],
  ] as const)
  const credential = credentialNamed('ASIA1')
  const publish = (one: typeof small) =>
    scopes.publish(planWithin(18_000, one, ...others), () => credential, where)
  publish(small)
  const { updates, stop } = follow(scopes)
  const first = await next(updates)
  assert.deepEqual([first.upsert.identities.length, first.upsert.credentials.length], [2, 2])

  publish(large)
  const second = await next(updates)
  assert.deepEqual(
    second.upsert.identities.map(({ name }) => name),
    ['a'],
  )
  const withoutB = {
    identities: [],
    services: [],
    bindings: ['two'],
    credentials: ['aws spiffe://example.org/app/b'],
  }
  assert.deepEqual(second.remove, withoutB)

  publish(small)
  const third = await next(updates)
  assert.deepEqual(
    third.upsert.bindings.map(({ name }) => name),
    ['two'],
  )
  assert.equal(third.upsert.credentials.length, 1)
  stop.abort()
})
