import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Service } from '#model/resource'
import { openMemoryStore } from './memory-store.ts'
import { readAll } from './pages.ts'
import type { Store } from './ports.ts'
import { openResources, type ScannedPage } from './resources.ts'

const put = (key: string) => ({ type: 'put', key, value: Buffer.from('x') }) as const

/** A store in which `write` happens after each page that is read. */
const disturbed = (store: Store, write: () => Promise<unknown>): Pick<Store, 'list'> => ({
  async list(prefix, range) {
    const page = await store.list(prefix, range)
    await write()
    return page
  },
})

test('all that is read in pages is of one moment, whatever is written in between', async () => {
  await using store = openMemoryStore()
  const keys = Array.from({ length: 501 }, (_, index) => `/a/${String(index).padStart(4, '0')}`)
  await store.transaction([], keys.map(put))
  const write = () => store.transaction([], [{ type: 'delete', key: keys.at(-1)! }, put('/a/9999')])
  const { items, revision } = await readAll(disturbed(store, write), '/a/', ({ key }) => key)
  assert.deepEqual(items, keys)
  assert.equal(revision, 1)
})

test('it begins again where the moment was forgotten, and gives up where that goes on', async () => {
  await using store = openMemoryStore({ keepRevisions: 1 })
  await store.transaction(
    [],
    Array.from({ length: 201 }, (_, index) => put(`/a/${index}`)),
  )
  let writes = 4
  const write = async () => {
    while (writes-- > 0) await store.transaction([], [put('/b')])
  }
  assert.equal((await readAll(disturbed(store, write), '/a/', ({ key }) => key)).items.length, 201)
  const forever = async () => {
    for (let count = 0; count < 4; count++) await store.transaction([], [put('/b')])
  }
  await assert.rejects(
    readAll(disturbed(store, forever), '/a/', ({ key }) => key),
    {
      code: 'STORE_REVISION_GONE',
    },
  )
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
  const namesOf = async (pages: AsyncIterable<ScannedPage<'Service'>>) => {
    const found: Service[] = []
    for await (const { objects } of pages) found.push(...objects.map((object) => object.read()))
    return found.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
  }
  const [first] = await Array.fromAsync(resources.scan('Service', {}))
  const { position } = first!.objects[1]!
  assert.equal(position, 'one/b')
  await resources.delete('Service', 'one', 'c')
  await create('b2', 'one')
  const rest = { atRevision: first!.resourceVersion, after: position }
  assert.deepEqual(await namesOf(resources.scan('Service', rest)), ['one/c', 'two/a'])
  assert.equal(await resources.count('Service', rest), 2)
  assert.deepEqual(await namesOf(resources.scan('Service', { after: position })), ['one/b2', 'two/a'])
  assert.deepEqual(await namesOf(resources.scan('Service', { namespace: 'two' })), ['two/a'])
  assert.deepEqual(await namesOf(resources.scan('Service', { namespace: 'two', after: position })), ['two/a'])
  assert.deepEqual(await namesOf(resources.scan('Service', { namespace: 'one', after: 'two/a' })), [])
})
