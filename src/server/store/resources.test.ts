import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openTestClock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { Secret } from '#base/secret'
import type { Draft, Kind, ResourceOf, Service, WorkloadIdentity } from '#model/resource'
import {
  openMemoryStore,
  openResourceCache,
  openResources,
  type Admission,
  type ResourceEvent,
  type Sealer,
  type Store,
} from './index.ts'
import { mergePatch } from './merge-patch.ts'

const namespace = 'riptides-system'

/** Remembers which name each blob was sealed under, as associated data does. */
const sealer: Sealer = {
  seal: (name, plaintext) => Buffer.from(JSON.stringify([name, Buffer.from(plaintext).toString('hex')])),
  unseal(name, sealed) {
    const [sealedName, hex] = JSON.parse(Buffer.from(sealed).toString()) as [string, string]
    assert.equal(name, sealedName)
    return Buffer.from(hex, 'hex')
  },
}

const open = (store: Store = openMemoryStore(), admissions: readonly Admission[] = []) =>
  openResources(store, { clock: openTestClock(), random: randomBytes, sealer, admissions })

const service = (name: string, app = 'x', metadata: object = {}): Draft<Service> => ({
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { labels: { app } },
})

test('generation counts changes of the specification only, resourceVersion every write', async () => {
  const resources = open()
  const created = await resources.create(service('a'))
  const labelled = await resources.update(service('a', 'x', { labels: { l: '1' } }))
  const status = await resources.updateStatus('Service', namespace, 'a', { state: 'OK' })
  const changed = await resources.update<'Service'>(service('a', 'y'))
  const versions = [created, labelled, status, changed].map(({ metadata }) => [
    metadata.generation,
    metadata.resourceVersion,
  ])
  assert.deepEqual(versions, [
    [1, '1'],
    [1, '2'],
    [1, '3'],
    [2, '4'],
  ])
  assert.equal(changed.status?.state, 'OK')
  assert.equal(changed.metadata.uid, created.metadata.uid)
  assert.equal(changed.metadata.creationTimestamp, '2026-01-01T00:00:00Z')
})

test('what changes nothing writes nothing', async () => {
  const resources = open()
  const created = await resources.create(service('a'))
  assert.deepEqual(await resources.update(service('a')), created)
  const status = await resources.updateStatus('Service', namespace, 'a', { state: 'OK' })
  assert.deepEqual(await resources.updateStatus('Service', namespace, 'a', () => ({ state: 'OK' })), status)
  assert.equal((await resources.list('all')).resourceVersion, '2')
})

test('a status is checked, and can be set on an object that fails a newer rule', async () => {
  const store = openMemoryStore()
  const resources = open(store)
  await resources.create(service('a'))
  await assert.rejects(resources.updateStatus('Service', namespace, 'a', { state: 'WRONG' as 'OK' }), {
    code: 'RESOURCE_INVALID',
    message: /status\.state: Unsupported value: "WRONG"/,
  })
  const { entries } = await store.list('/')
  const outdated = Buffer.from(entries[0]!.value).toString().replace('"labels"', '"tags"')
  await store.transaction([], [{ type: 'put', key: entries[0]!.key, value: Buffer.from(outdated) }])
  const { status } = await resources.updateStatus('Service', namespace, 'a', { state: 'FAILED' })
  assert.deepEqual(status, { state: 'FAILED' })
})

test('metadata that only the server sets cannot be set by a writer', async () => {
  const resources = open()
  const forged = {
    uid: 'mine',
    generation: 77,
    creationTimestamp: '2000-01-01T00:00:00Z',
    deletionTimestamp: '2000-01-01T00:00:00Z',
    managedFields: [{}],
  }
  const { metadata } = await resources.create(service('a', 'x', forged))
  assert.deepEqual(Object.keys(metadata).sort(), [
    'creationTimestamp',
    'generation',
    'managedFields',
    'name',
    'namespace',
    'resourceVersion',
    'uid',
  ])
  assert.notEqual(metadata.uid, 'mine')
  assert.equal(metadata.generation, 1)
})

test('what is to be created has no resourceVersion, applied or not', async () => {
  const resources = open()
  const expected = {
    code: 'RESOURCE_INVALID',
    message:
      /metadata\.resourceVersion: Forbidden: resourceVersion should not be set on objects to be created/,
  }
  const draft = service('a', 'x', { resourceVersion: '7' })
  await assert.rejects(resources.create(draft), expected)
  await assert.rejects(resources.apply(draft), expected)
})

test('concurrent writers of a status all get through; of one resourceVersion one does', async () => {
  const resources = open()
  const { metadata } = await resources.create(service('a'))
  await resources.updateStatus('Service', namespace, 'a', { message: '' })
  await Promise.all(
    Array.from({ length: 10 }, () =>
      resources.updateStatus('Service', namespace, 'a', ({ status }) => ({
        message: `${status?.message}x`,
      })),
    ),
  )
  const current = (await resources.get('Service', namespace, 'a'))!
  assert.equal(current.status?.message, 'x'.repeat(10))
  const { resourceVersion } = current.metadata
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) => resources.update(service('a', `${index}`, { resourceVersion }))),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  await assert.rejects(resources.delete('Service', namespace, 'a', { resourceVersion }), {
    code: 'RESOURCE_CONFLICT',
  })
  await assert.rejects(resources.delete('Service', namespace, 'a', { uid: 'other' }), {
    code: 'RESOURCE_CONFLICT',
  })
  await resources.delete('Service', namespace, 'a', { uid: metadata.uid })
  await assert.rejects(resources.delete('Service', namespace, 'a'), { code: 'RESOURCE_NOT_FOUND' })
  await assert.rejects(resources.updateStatus('Service', namespace, 'a', {}), { code: 'RESOURCE_NOT_FOUND' })
})

test('a name is made where a prefix is given', async () => {
  const resources = open()
  const draft = { ...service('x'), metadata: { generateName: 'node-' } } as unknown as Draft<Service>
  const { metadata } = await resources.create(draft)
  assert.match(metadata.name, /^node-[a-z0-9]{5}$/)
})

test('a generated name has room for what is random in it, as in Kubernetes', async () => {
  const metadata = { generateName: `${'n'.repeat(60)}-` }
  const draft = { apiVersion: 'v1', kind: 'Namespace', metadata } as unknown as Draft<ResourceOf<'Namespace'>>
  const { name, generateName } = (await open().create<'Namespace'>(draft)).metadata
  assert.match(name, /^n{58}[a-z0-9]{5}$/)
  assert.equal(generateName, metadata.generateName)
})

test('admissions warn and refuse, in order, and see no secret', async () => {
  const seen: string[] = []
  const resources = open(openMemoryStore(), [
    ({ operation, object, previous }) => {
      seen.push(JSON.stringify({ operation, object, previous }))
      return [`looked at ${operation}`]
    },
    ({ object }) => {
      if (object.metadata.name === 'bad') throw new Fault('API_FORBIDDEN', 'no')
      return []
    },
  ])
  const warnings: string[] = []
  const options = { warn: (text: string) => warnings.push(text) }
  await resources.create(service('a'), options)
  await assert.rejects(resources.create(service('bad'), options), { code: 'API_FORBIDDEN' })
  await resources.update(service('a', 'y'), options)
  await resources.delete('Service', namespace, 'a', {}, options)
  assert.deepEqual(warnings, ['looked at create', 'looked at create', 'looked at update', 'looked at delete'])
  await resources.create<'Secret'>({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    stringData: { key: 'hidden-value' },
  })
  assert.ok(!seen.join('').includes('hidden-value'))
  assert.equal(await resources.get('Service', namespace, 'bad'), undefined)
})

test('a join token is found by its value, which is kept as a hash', async () => {
  const store = openMemoryStore()
  const resources = open(store)
  const text = 'the-token-of-node-number-one'
  const draft = (name: string, token?: string) => ({
    apiVersion: 'auth.riptides.io/v1alpha1',
    kind: 'JoinToken' as const,
    metadata: { name },
    spec: { ...(token !== undefined && { token }), workloadID: 'd/1' },
  })
  await resources.create<'JoinToken'>(draft('a', text))
  await resources.create<'JoinToken'>(draft('b', 'another-token-of-another'))
  assert.equal((await resources.matchJoinToken(Secret.of(text)))?.metadata.name, 'a')
  assert.equal(await resources.matchJoinToken(Secret.of(`${text}x`)), undefined)
  // Read, changed and written back: the token stays although it was not in what was read.
  const kept = await resources.update<'JoinToken'>({ ...draft('a'), spec: { workloadID: 'd/2' } })
  assert.deepEqual(kept.spec, { workloadID: 'd/2' })
  assert.equal((await resources.matchJoinToken(Secret.of(text)))?.spec.workloadID, 'd/2')
  await assert.rejects(resources.create<'JoinToken'>(draft('c')), {
    code: 'RESOURCE_INVALID',
    message: /spec\.token: Required value/,
  })
  const { entries } = await store.list('/')
  for (const { value } of entries) assert.ok(!Buffer.from(value).includes(text))
})

test('the values of a Secret are sealed under its uid, kept when left out, and given by name', async () => {
  const resources = open()
  const secret = (content: object) =>
    ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, ...content }) as const
  const read = async () =>
    Object.fromEntries(
      [...(await resources.secretData(namespace, 's'))!].map(([key, value]) => [key, value.revealText()]),
    )
  await resources.create<'Secret'>(
    secret({ data: { a: Buffer.from('1').toString('base64') }, stringData: { b: '2' } }),
  )
  assert.deepEqual(await read(), { a: '1', b: '2' })
  await resources.update<'Secret'>(secret({ metadata: { name: 's', labels: { l: '1' } } }))
  assert.deepEqual(await read(), { a: '1', b: '2' })
  await resources.update<'Secret'>(secret({ stringData: { b: '3' } }))
  assert.deepEqual(await read(), { a: '1', b: '3' })
  await resources.patch('Secret', namespace, 's', { type: 'merge', document: { data: { a: null } } })
  assert.deepEqual(await read(), { b: '3' })
  await resources.update<'Secret'>(secret({ data: {} }))
  assert.deepEqual(await read(), {})
  assert.equal(await resources.secretData(namespace, 'none'), undefined)
})

test('a value in base64 may be broken into lines, and is the same as in one', async () => {
  const resources = open()
  const secret = (data: Record<string, string>) =>
    ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data, immutable: true }) as const
  const line = Buffer.from('a certificate, say').toString('base64')
  const lines = `${line.slice(0, 9)}\r\n${line.slice(9)}\n`
  const { metadata } = await resources.create<'Secret'>(secret({ a: lines }))
  const values = (await resources.secretData(namespace, 's'))!
  assert.equal(values.get('a')!.revealText(), 'a certificate, say')
  const same = await resources.update<'Secret'>(secret({ a: line }))
  assert.equal(same.metadata.resourceVersion, metadata.resourceVersion)
  for (const [fieldManager, a] of [
    ['one', line],
    ['two', lines],
  ] as const)
    await resources.apply<'Secret'>(secret({ a }), { fieldManager, force: false })
  await assert.rejects(resources.update<'Secret'>(secret({ a: `${lines}!` })), /must be base64/)
})

test('an immutable Secret keeps its values and stays immutable, and no Secret changes its type', async () => {
  const resources = open()
  const secret = (content: object) =>
    ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, ...content }) as const
  const refused = (field: string, message: string) => (error: Error) => {
    assert.ok(isFault(error, 'RESOURCE_INVALID'))
    assert.equal(error.message, `Secret "s" is invalid: ${field}: ${message}`)
    return true
  }
  const whenImmutable = 'Forbidden: field is immutable when `immutable` is set'
  await resources.create<'Secret'>(secret({ stringData: { a: '1' } }))
  await assert.rejects(
    resources.update(secret({ type: 'example.org/other' })),
    refused('type', 'Invalid value: "example.org/other": field is immutable'),
  )
  await resources.update<'Secret'>(secret({ stringData: { a: '2' }, immutable: true }))
  await assert.rejects(
    resources.update(secret({ stringData: { a: '3' }, immutable: true })),
    refused('data', whenImmutable),
  )
  await assert.rejects(resources.update(secret({})), refused('immutable', whenImmutable))
  const patch = { type: 'merge', document: { data: { a: null } } } as const
  await assert.rejects(resources.patch('Secret', namespace, 's', patch), refused('data', whenImmutable))
  const labelled = await resources.update<'Secret'>(
    secret({ metadata: { name: 's', labels: { l: '1' } }, stringData: { a: '2' }, immutable: true }),
  )
  assert.deepEqual(labelled.metadata.labels, { l: '1' })
  assert.equal((await resources.secretData(namespace, 's'))!.get('a')!.revealText(), '2')
  await resources.delete('Secret', namespace, 's')
})

test('objects of one name in two namespaces are two', async () => {
  const resources = open()
  await resources.create(service('a', 'x', { namespace: 'n1' }))
  await resources.create(service('a', 'y', { namespace: 'n2' }))
  assert.equal((await resources.list('Service')).items.length, 2)
  const { items } = await resources.list('Service', 'n2')
  assert.deepEqual(
    items.map(({ spec }) => spec.labels['app']),
    ['y'],
  )
  assert.equal((await resources.list('all', 'n1')).items.length, 1)
  assert.equal(await resources.get('Service', namespace, 'a'), undefined)
})

test('a record that cannot be read is told by its key', async () => {
  const store = openMemoryStore()
  const key = '/registry/core.riptides.io/services/riptides-system/a'
  await store.transaction([], [{ type: 'put', key, value: Buffer.from('{') }])
  await assert.rejects(open(store).get('Service', namespace, 'a'), {
    code: 'STORE_CORRUPT',
    message: new RegExp(key),
  })
})

/** Resolves when `condition` holds, looked at after each change of the cache. */
async function until(
  cache: { onChange: (listener: () => void) => () => void },
  condition: () => boolean,
): Promise<void> {
  if (condition()) return
  await new Promise<void>((resolve) => {
    const stop = cache.onChange(() => {
      if (!condition()) return
      stop()
      resolve()
    })
  })
}

test('the cache holds everything, follows, and tells what changed', async () => {
  const resources = open()
  await resources.create(service('a'))
  await using cache = await openResourceCache(resources)
  assert.equal(cache.get('Service', namespace, 'a')?.metadata.name, 'a')
  const events: string[] = []
  cache.onChange((batch: readonly ResourceEvent[]) => {
    events.push(...batch.map(({ type, object }) => `${type} ${object.metadata.name}`))
  })
  await resources.create(service('b'))
  await resources.update(service('a', 'y'))
  await resources.delete('Service', namespace, 'b')
  await until(cache, () => cache.resourceVersion === '4')
  assert.deepEqual(events, ['ADDED b', 'MODIFIED a', 'DELETED b'])
  assert.deepEqual(
    cache.list('Service').map(({ spec }) => spec.labels['app']),
    ['y'],
  )
  assert.deepEqual(cache.list('Service', 'other'), [])
})

test('the cache finds objects by their workload ID, wherever they are and as it changes', async () => {
  const resources = open()
  const identity = (name: string, workloadID: string): Draft<WorkloadIdentity> => ({
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'WorkloadIdentity',
    metadata: { name },
    spec: { workloadID, scope: { daemonGroup: { id: 'g' } }, selectors: [{ 'process:uid': '1' }] },
  })
  await resources.create(identity('a', 'app/one'))
  await using cache = await openResourceCache(resources)
  const named = (workloadId: string) =>
    cache.ofWorkload('WorkloadIdentity', workloadId).map(({ metadata }) => metadata.name)
  await resources.create(identity('b', 'app/one'))
  await resources.update(identity('a', 'app/two'))
  await until(cache, () => cache.resourceVersion === '3')
  assert.deepEqual([named('app/one'), named('app/two'), named('app/none')], [['b'], ['a'], []])
  await resources.delete('WorkloadIdentity', namespace, 'b')
  await until(cache, () => cache.resourceVersion === '4')
  assert.deepEqual(named('app/one'), [])
})

test('a cache that fell behind what is kept lists anew and tells the difference', async () => {
  const store = openMemoryStore({ keepRevisions: 5 })
  const resources = open(store)
  await resources.create(service('stays'))
  await resources.create(service('goes'))
  await resources.create(service('changes'))
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  let first = true
  await using cache = await openResourceCache({
    ...resources,
    // The first watch begins late, as on a machine that hung.
    async *watch<K extends Kind>(kind: K | 'all', options: { fromRevision: string; signal: AbortSignal }) {
      if (first) {
        first = false
        await held
      }
      yield* resources.watch(kind, options)
    },
  })
  const events: string[] = []
  cache.onChange((batch) =>
    events.push(...batch.map(({ type, object }) => `${type} ${object.metadata.name}`)),
  )
  await resources.delete('Service', namespace, 'goes')
  for (let count = 0; count < 20; count++) await resources.update(service('changes', String(count)))
  await resources.create(service('comes'))
  release()
  await until(cache, () => cache.get('Service', namespace, 'comes') !== undefined)
  assert.deepEqual(events.sort(), ['ADDED comes', 'DELETED goes', 'MODIFIED changes'])
})

test('the end of the store is the failure of the cache', async () => {
  const store = openMemoryStore()
  await using cache = await openResourceCache(open(store))
  await store[Symbol.asyncDispose]()
  await assert.rejects(cache.done, { code: 'STORE_UNAVAILABLE' })
})

test('merge patches do as RFC 7396 says', () => {
  // The table of RFC 7396 appendix A.
  const cases: readonly [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [target, patch, result] of cases) assert.deepEqual(mergePatch(target, patch), result)
})

test('applying a merge patch twice is applying it once', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (target, patch) => {
      const once = mergePatch(target, patch)
      assert.deepEqual(mergePatch(once, patch), once)
    }),
  )
})
