import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { openBell } from '#base/lifecycle'
import { silentLog } from '#base/log'
import type { Draft, Event, Resource, Service } from '#model/resource'
import type { AuditTrail } from '#server/audit'
import { openMemoryStore, openResourceCache, openResources, type PropagationPolicy } from '#server/store'
import { openLifecycle } from './index.ts'

const namespace = 'riptides-system'

const service = (name: string, metadata: object = {}): Draft<Service> => ({
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { labels: { app: 'x' } },
})

/** Objects in memory with a lifecycle that runs until the end of the test. */
async function open(t: TestContext) {
  const clock = openTestClock()
  const identity = {
    seal: (_: string, text: Uint8Array) => text,
    unseal: (_: string, text: Uint8Array) => text,
  }
  const resources = openResources(openMemoryStore(), { clock, random: randomBytes, sealer: identity })
  const cache = await openResourceCache(resources)
  const stop = new AbortController()
  const changes = openBell()
  const deleted: string[] = []
  const audit = {
    change: async ({ actor, verb, object, namespace: place, message }: Parameters<AuditTrail['change']>[0]) =>
      void deleted.push(`${actor} ${verb} ${place}/${object} ${message}`),
  }
  const options = { cache, resources, audit, clock, log: silentLog }
  const running = openLifecycle(options).run({ signal: stop.signal })
  t.after(async () => {
    stop.abort()
    await Promise.all([running, watching])
    await cache[Symbol.asyncDispose]()
  })
  cache.onChange(() => changes.ring())
  const watching = (async () => {
    const options = { fromRevision: '0', signal: stop.signal }
    for await (const _ of resources.watch('Event', options)) changes.ring()
  })()

  /** Resolves once it holds; looked at after each change. */
  async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
    for (;;) {
      const heard = changes.rings
      if (await holds()) return
      await changes.after(heard, t.signal)
      t.signal.throwIfAborted()
    }
  }
  const names = () => cache.list('Service').map(({ metadata }) => metadata.name)
  return { clock, resources, cache, until, names, deleted }
}

const ownedBy = (owner: Resource, more: object = {}) => ({
  ownerReferences: [
    {
      apiVersion: owner.apiVersion,
      kind: owner.kind,
      name: owner.metadata.name,
      uid: owner.metadata.uid,
      ...more,
    },
  ],
})

test('what is owned goes with the last of its owners, and so does what that owns', async (t) => {
  const { resources, until, names, deleted } = await open(t)
  const [one, two] = [await resources.create(service('one')), await resources.create(service('two'))]
  const both = [...ownedBy(one).ownerReferences, ...ownedBy(two).ownerReferences]
  const child = await resources.create(service('child', { ownerReferences: both }))
  await resources.create(service('grandchild', ownedBy(child)))
  await resources.delete('Service', namespace, 'one')
  await until(async () => {
    const { metadata } = (await resources.get('Service', namespace, 'child'))!
    return metadata.ownerReferences?.length === 1
  })
  await resources.delete('Service', namespace, 'two')
  await until(() => names().length === 0 && deleted.length === 2)
  assert.deepEqual(deleted.toSorted(), [
    `tideway:lifecycle delete ${namespace}/Service/child because of its owners`,
    `tideway:lifecycle delete ${namespace}/Service/grandchild because of its owners`,
  ])
})

test('an owner of another uid is no owner, and a kind that we do not know is none that could be gone', async (t) => {
  const { resources, until, names } = await open(t)
  const owner = await resources.create(service('owner'))
  await resources.create(service('false', ownedBy(owner, { uid: 'of-an-earlier-one' })))
  await resources.create(service('foreign', ownedBy(owner, { apiVersion: 'apps/v1', kind: 'Deployment' })))
  await until(() => !names().includes('false'))
  assert.deepEqual(names(), ['foreign', 'owner'])
})

test('an owner that is orphaned leaves its dependents, one in the foreground waits for them', async (t) => {
  const { resources, until, names } = await open(t)
  const remove = (name: string, propagationPolicy: PropagationPolicy) =>
    resources.delete('Service', namespace, name, { propagationPolicy })
  const orphaning = await resources.create(service('orphaning'))
  await resources.create(service('orphan', ownedBy(orphaning)))
  await remove('orphaning', 'Orphan')
  await until(() => !names().includes('orphaning'))
  assert.equal((await resources.get('Service', namespace, 'orphan'))!.metadata.ownerReferences, undefined)

  const waiting = await resources.create(service('waiting'))
  const finalizers = ['example.org/slow']
  await resources.create(service('slow', { ...ownedBy(waiting, { blockOwnerDeletion: true }), finalizers }))
  await remove('waiting', 'Foreground')
  await until(
    async () => (await resources.get('Service', namespace, 'slow'))!.metadata.deletionTimestamp !== undefined,
  )
  assert.ok(await resources.get('Service', namespace, 'waiting'))
  await resources.patch('Service', namespace, 'slow', {
    type: 'merge',
    document: { metadata: { finalizers: null } },
  })
  await until(() => names().join() === 'orphan')
})

test('an owner in the foreground does not wait for what lies elsewhere', { timeout: 10_000 }, async (t) => {
  const { resources, until, names } = await open(t)
  const owner = await resources.create(service('owner'))
  const blocking = ownedBy(owner, { blockOwnerDeletion: true })
  const finalizers = ['example.org/never']
  await resources.create(service('foreign', { ...blocking, namespace: 'team', finalizers }))
  await resources.delete('Service', namespace, 'owner', { propagationPolicy: 'Foreground' })
  await until(() => names().join() === 'foreign')
})

test('owners in a circle go in the foreground, and what else they own goes before them', async (t) => {
  const { resources, until, names } = await open(t)
  const blocking = { blockOwnerDeletion: true }
  const own = (name: string, owner: Resource) =>
    resources.patch('Service', namespace, name, {
      type: 'merge',
      document: { metadata: ownedBy(owner, blocking) },
    })
  const one = await resources.create(service('one'))
  const two = await resources.create(service('two', ownedBy(one, blocking)))
  const three = await resources.create(service('three', ownedBy(two, blocking)))
  const finalizers = ['example.org/slow']
  await resources.create(service('slow', { ...ownedBy(three, blocking), finalizers }))
  await own('one', three)
  const alone = await resources.create(service('alone'))
  await own('alone', alone)

  const foreground = { propagationPolicy: 'Foreground' } as const
  await resources.delete('Service', namespace, 'alone', foreground)
  await resources.delete('Service', namespace, 'one', foreground)
  const isGoing = async () => (await resources.get('Service', namespace, 'slow'))!.metadata.deletionTimestamp
  await until(async () => (await isGoing()) !== undefined && !names().includes('alone'))
  assert.deepEqual(names(), ['one', 'slow', 'three', 'two'])
  await resources.patch('Service', namespace, 'slow', {
    type: 'merge',
    document: { metadata: { finalizers: null } },
  })
  await until(() => names().length === 0)
})

test('a namespace comes with what is in it, and takes it along', async (t) => {
  const { resources, cache, until } = await open(t)
  await resources.create(service('a', { namespace: 'team' }))
  await resources.create(service('b', { namespace: 'team', finalizers: ['example.org/slow'] }))
  await resources.create(service('c'))
  await until(() => cache.get('Namespace', '', 'team') !== undefined)
  await until(() => cache.get('Namespace', '', namespace) !== undefined)
  await resources.create<'Event'>({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'team' },
    involvedObject: {},
  })
  await resources.delete('Namespace', '', 'team')
  await until(() => cache.get('Service', 'team', 'a') === undefined)
  assert.equal(cache.get('Namespace', '', 'team')?.status?.phase, 'Terminating')
  await assert.rejects(resources.create(service('late', { namespace: 'team' })), { code: 'API_FORBIDDEN' })
  await resources.patch('Service', 'team', 'b', {
    type: 'merge',
    document: { metadata: { finalizers: null } },
  })
  await until(() => cache.get('Namespace', '', 'team') === undefined)
  assert.deepEqual((await resources.list('Event', 'team')).items, [])
  assert.ok(cache.get('Service', namespace, 'c'))
})

test('changes of state are events, what is repeated is counted, and what is old is forgotten', async (t) => {
  const { clock, resources, until } = await open(t)
  const { metadata } = await resources.create(service('a'))
  const say = (state: 'OK' | 'FAILED', message: string) =>
    resources.updateStatus('Service', namespace, 'a', { state, message })
  const events = async () => (await resources.list('Event', namespace)).items
  const counted = async (reason: string, count: number) => {
    const find = async () =>
      (await events()).find((event: Event) => event.reason === reason && event.count === count)
    await until(async () => (await find()) !== undefined)
    return (await find())!
  }
  await say('OK', 'all is well')
  const { type, involvedObject, message } = await counted('Ready', 1)
  assert.deepEqual([type, message, involvedObject.uid], ['Normal', 'all is well', metadata.uid])
  await say('FAILED', 'it is not')
  assert.equal((await counted('Failed', 1)).type, 'Warning')
  await say('OK', 'all is well')
  await counted('Ready', 2)
  assert.equal((await events()).length, 2)
  await clock.untilArmed()
  await clock.advance(3_700_000)
  await until(async () => (await events()).length === 0)
})
