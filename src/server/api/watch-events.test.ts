import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { definitionOf, type Draft, type Resource, type Service } from '#model/resource'
import { openMemoryStore, openResources } from '#server/store'
import { listOptionsFrom } from './list-options.ts'
import { service } from './test-objects.ts'
import { testSealer } from './test-server.ts'
import { representationFor } from './table.ts'
import { encodeEvent, watchEvents } from './watch-events.ts'

interface Shown {
  readonly type: string
  readonly object: Resource
}

interface TableOf<T> {
  readonly kind: string
  readonly metadata: object
  readonly rows: readonly { readonly cells: readonly (string | null)[]; readonly object: T }[]
}

/** Services in memory, and watches of them of which one takes event by event. */
function openPlace() {
  const store = openMemoryStore()
  const clock = openTestClock()
  const resources = openResources(store, { clock, random: randomBytes, sealer: testSealer })
  const stop = new AbortController()
  const expiry = new AbortController()
  return {
    store,
    clock,
    resources,
    expiry,
    write: (name: string, labels: Record<string, string> = {}): Draft<Service> => ({
      ...service(),
      metadata: { name, labels },
    }),
    watch(query: Record<string, string>, accept?: string) {
      const definition = definitionOf('Service')
      const events = watchEvents(resources, {
        definition,
        namespace: 'riptides-system',
        options: listOptionsFrom({ watch: 'true', ...query }, definition),
        representation: representationFor(accept, definition, { query, clock }),
        clock,
        expiry: expiry.signal,
        signal: stop.signal,
      })
      return {
        async next(): Promise<Shown | undefined> {
          const { done, value } = await events.next()
          return done ? undefined : (value as Shown)
        },
        /** The next `count` events as text. */
        async take(count: number): Promise<string[]> {
          const texts: string[] = []
          while (texts.length < count) {
            const event = await this.next()
            texts.push(
              `${event?.type} ${event?.object.metadata.name} ${event?.object.metadata.resourceVersion}`,
            )
          }
          return texts
        },
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await store[Symbol.asyncDispose]()
    },
  }
}

test('an object that comes into sight of a selector is added, one that leaves it is deleted as it last was', async () => {
  await using place = openPlace()
  const { resources, write } = place
  await resources.create(write('a'))
  const watch = place.watch({ labelSelector: 'app=x', resourceVersion: '1' })
  await resources.update(write('a', { app: 'x' }))
  await resources.update(write('a', { app: 'x', more: '1' }))
  await resources.update(write('a', { app: 'y' }))
  await resources.update(write('a', { app: 'z' }))
  await resources.create(write('b', { app: 'x' }))
  await resources.delete('Service', 'riptides-system', 'a')
  await resources.delete('Service', 'riptides-system', 'b')
  assert.deepEqual(await watch.take(2), ['ADDED a 2', 'MODIFIED a 3'])
  const left = await watch.next()
  assert.deepEqual(
    [left?.type, left?.object.metadata.labels, left?.object.metadata.resourceVersion],
    ['DELETED', { app: 'x', more: '1' }, '4'],
  )
  assert.deepEqual(await watch.take(2), ['ADDED b 6', 'DELETED b 8'])
})

test('a streaming list ends with a mark, and goes on as a watch', async () => {
  await using place = openPlace()
  const { resources, write } = place
  await resources.create(write('a'))
  await resources.create(write('b'))
  const watch = place.watch({
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: 'true',
  })
  assert.deepEqual(await watch.take(2), ['ADDED a 1', 'ADDED b 2'])
  const mark = await watch.next()
  assert.equal(mark?.type, 'BOOKMARK')
  assert.equal(mark?.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true')
  assert.equal(mark?.object.metadata.resourceVersion, '2')
  await resources.create(write('c'))
  assert.deepEqual(await watch.take(1), ['ADDED c 3'])
})

test('a watch from nowhere begins with what there is, and says when that was all to who takes bookmarks', async () => {
  await using place = openPlace()
  await place.resources.create(place.write('a'))
  for (const from of [{}, { resourceVersion: '0' }]) {
    const watch = place.watch({ ...from, allowWatchBookmarks: 'true' })
    assert.deepEqual(await watch.take(1), ['ADDED a 1'])
    const mark = await watch.next()
    assert.deepEqual(mark?.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' })
  }
})

test('a watch from now on shows nothing of what there is', async () => {
  await using place = openPlace()
  const { resources, write } = place
  await resources.create(write('a'))
  const watch = place.watch({ sendInitialEvents: 'false', resourceVersionMatch: 'NotOlderThan' })
  const first = watch.take(1)
  // The watch has begun when its sleep until the first bookmark has.
  await place.clock.untilArmed(1)
  await resources.create(write('b'))
  assert.deepEqual(await first, ['ADDED b 2'])
})

test('a quiet watch is told every minute how far the others have come, and in the end', async () => {
  await using place = openPlace()
  const { store, clock } = place
  await store.transaction([], [{ type: 'put', key: '/other', value: Buffer.from('x') }])
  const watch = place.watch({ resourceVersion: '1', allowWatchBookmarks: 'true' })
  const marked = watch.next()
  await clock.untilArmed(1)
  await store.transaction([], [{ type: 'put', key: '/other', value: Buffer.from('x') }])
  await clock.advance(60_000)
  const mark = await marked
  assert.deepEqual([mark?.type, mark?.object.metadata.resourceVersion], ['BOOKMARK', '2'])
  const last = watch.next()
  place.expiry.abort()
  assert.equal((await last)?.object.metadata.resourceVersion, '2')
  assert.equal(await watch.next(), undefined)
})

test('events and bookmarks come as tables to those who watch tables', async () => {
  await using place = openPlace()
  await place.resources.create(place.write('a'))
  const watch = place.watch({ allowWatchBookmarks: 'true' }, 'application/json;as=Table;v=v1;g=meta.k8s.io')
  const next = async () => (await watch.next())!.object as unknown as TableOf<Pick<Resource, 'metadata'>>
  const event = await next()
  assert.equal(event.kind, 'Table')
  assert.equal(event.rows[0]!.cells[0], 'a')
  const mark = await next()
  assert.deepEqual(mark.metadata, { resourceVersion: '1' })
  const annotations = { 'k8s.io/initial-events-end': 'true' }
  assert.deepEqual(mark.rows[0]!.object.metadata, { resourceVersion: '1', annotations })
})

test('a watch from a version that is no longer known fails, one from a version to come too', async () => {
  await using place = openPlace()
  const { store } = place
  for (let count = 0; count < 2100; count++) {
    await store.transaction([], [{ type: 'put', key: '/x', value: Buffer.from('x') }])
  }
  for (const resourceVersion of ['1', '9999']) {
    await assert.rejects(place.watch({ resourceVersion }).next(), { code: 'STORE_REVISION_GONE' })
  }
})

test('what many watches are told of is made and encoded once in each form, a table anew for other ages', async () => {
  await using place = openPlace()
  const { clock, resources, write } = place
  await resources.create(write('a'))
  await resources.update(write('a', { app: 'x' }))
  const as = (form: string) => `application/json;as=${form};g=meta.k8s.io;v=v1`
  for (const [accept, staysTheSame] of [
    ['application/json', true],
    [as('PartialObjectMetadata'), true],
    [as('Table'), false],
  ] as const) {
    const told = async () => (await place.watch({ resourceVersion: '1' }, accept).next())!
    const first = await told()
    assert.equal((await told()).object, first.object)
    assert.equal(encodeEvent(first), JSON.stringify(first))
    await clock.advance(1_000)
    assert.equal((await told()).object === first.object, staysTheSame)
  }
})
