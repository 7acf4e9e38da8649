import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openTestClock } from '#base/clock'
import type { Service } from '#model/resource'
import { openMemoryStore, openResources, type StoreEntry } from './index.ts'
import { listAt, openPast } from './past.ts'

const show = (entries: readonly StoreEntry[]) =>
  entries.map(({ key, value, modRevision }) => `${key}=${Buffer.from(value).toString()}@${modRevision}`)

test('every earlier revision lists as it did then, whatever has happened since', async () => {
  const key = fc.constantFrom('/a/1', '/a/2', '/a/3', '/b/1')
  const operation = fc.oneof(
    fc.record({ type: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 2 }) }),
    fc.record({ type: fc.constant('delete' as const), key }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uniqueArray(operation, { selector: ({ key }) => key, minLength: 1 })),
      async (writes) => {
        await using store = openMemoryStore()
        const then = new Map<number, string[]>([[0, []]])
        for (const operations of writes) {
          await store.transaction([], operations)
          const { entries, revision } = await store.list('/a/')
          then.set(revision, show(entries))
        }
        for (const [revision, expected] of then) {
          assert.deepEqual(show((await listAt(store, '/a/', revision)).entries), expected)
        }
      },
    ),
  )
})

test('a revision that is no longer known, or yet to come, cannot be listed', async () => {
  await using store = openMemoryStore({ keepRevisions: 5 })
  for (let count = 0; count < 20; count++) {
    await store.transaction([], [{ type: 'put', key: '/a', value: Buffer.from(String(count)) }])
  }
  for (const revision of [1, 21]) {
    await assert.rejects(listAt(store, '/', revision), { code: 'STORE_REVISION_GONE' })
  }
})

test('lists that are kept are given as they are, the one that was asked for longest ago goes first', async () => {
  await using store = openMemoryStore({ keepRevisions: 1 })
  const past = openPast(store, { maxEntries: 2 })
  for (const key of ['/a/1', '/b/1', '/c/1']) {
    await store.transaction([], [{ type: 'put', key, value: Buffer.from('x') }])
  }
  const keep = async (prefix: string) => past.keep(prefix, 3, (await store.list(prefix)).entries)
  for (const prefix of ['/a/', '/b/', '/a/', '/c/']) await keep(prefix)
  for (let count = 0; count < 5; count++) {
    await store.transaction([], [{ type: 'delete', key: `/${'abc'[count % 3]}/1` }])
    await store.transaction([], [{ type: 'put', key: '/d', value: Buffer.from('x') }])
  }
  for (const prefix of ['/a/', '/c/']) assert.equal((await past.listAt(prefix, 3)).entries.length, 1)
  await assert.rejects(past.listAt('/b/', 3), { code: 'STORE_REVISION_GONE' })
})

test('a scan goes on where another ended, at its revision, past what came and went', async () => {
  await using store = openMemoryStore()
  const resources = openResources(store, {
    clock: openTestClock(),
    random: randomBytes,
    sealer: { seal: (_, bytes) => bytes, unseal: (_, bytes) => bytes },
  })
  const create = (name: string, namespace: string) =>
    resources.create<'Service'>({
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { labels: { app: 'x' } },
    })
  for (const name of ['a', 'b', 'c']) await create(name, 'one')
  await create('a', 'two')
  const first = await resources.scan('Service', {})
  const { position } = first.objects[1]!
  assert.equal(position, 'one/b')
  await resources.delete('Service', 'one', 'c')
  await create('b2', 'one')
  const rest = await resources.scan('Service', { atRevision: first.resourceVersion, after: position })
  const names = (objects: readonly { read(): Service }[]) =>
    objects.map((object) => `${object.read().metadata.namespace}/${object.read().metadata.name}`)
  assert.deepEqual(names(rest.objects), ['one/c', 'two/a'])
  assert.deepEqual(names((await resources.scan('Service', { after: position })).objects), ['one/b2', 'two/a'])
  assert.deepEqual(names((await resources.scan('Service', { namespace: 'two' })).objects), ['two/a'])
})
