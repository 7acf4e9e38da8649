import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Store, StoreEntry, StoreEvent } from './ports.ts'

const bytes = (text: string) => Buffer.from(text)
const textOf = (value: Uint8Array | undefined) => value && Buffer.from(value).toString()
const put = (key: string, text: string) => ({ type: 'put', key, value: bytes(text) }) as const
const remove = (key: string) => ({ type: 'delete', key }) as const

function describe(event: StoreEvent): string {
  if (event.type === 'delete') return `-${event.key}@${event.revision}(${textOf(event.previous.value)})`
  const { key, value, modRevision } = event.entry
  const previous = event.previous ? `(${textOf(event.previous.value)})` : ''
  return `${key}=${textOf(value)}@${modRevision}${previous}`
}

const show = (entries: readonly StoreEntry[]) =>
  entries.map(({ key, value, modRevision, createRevision }) =>
    [key, textOf(value), modRevision, createRevision].join(' '),
  )

/** The first `count` events of a watch. */
async function take(store: Store, prefix: string, afterRevision: number, count: number): Promise<string[]> {
  const stop = new AbortController()
  const seen: string[] = []
  for await (const events of store.watch(prefix, { afterRevision, signal: stop.signal })) {
    seen.push(...events.map(describe))
    if (seen.length >= count) break
  }
  return seen
}

/**
 * What every store does. `open` gives an empty one that keeps the changes of `keepRevisions` revisions, give or
 * take as many.
 */
export function testStore(name: string, open: (options: { keepRevisions: number }) => Promise<Store>): void {
  const check = (behaviour: string, body: (store: Store) => Promise<void>, keepRevisions = 20): void => {
    void test(`${name}: ${behaviour}`, async () => {
      await using store = await open({ keepRevisions })
      await body(store)
    })
  }

  check('gives back what was put, with the revisions that wrote it', async (store) => {
    assert.deepEqual(await store.transaction([], [put('/a', '1')]), { ok: true, revision: 1 })
    assert.deepEqual(await store.transaction([], [put('/a', '2')]), { ok: true, revision: 2 })
    const entry = await store.get('/a')
    assert.equal(textOf(entry?.value), '2')
    assert.deepEqual([entry?.createRevision, entry?.modRevision], [1, 2])
    assert.equal(await store.get('/b'), undefined)
  })

  check('keeps empty and binary values', async (store) => {
    await store.transaction([], [{ type: 'put', key: '/a', value: new Uint8Array() }])
    await store.transaction([], [{ type: 'put', key: '/b', value: Uint8Array.of(0, 255, 128) }])
    assert.deepEqual([...(await store.get('/a'))!.value], [])
    assert.deepEqual([...(await store.get('/b'))!.value], [0, 255, 128])
  })

  check('lists a prefix in key order at one revision', async (store) => {
    await store.transaction([], [put('/p/b', '1'), put('/p/a', '2'), put('/q/a', '3'), put('/p', '4')])
    const { entries, revision } = await store.list('/p/')
    assert.deepEqual(
      entries.map(({ key }) => key),
      ['/p/a', '/p/b'],
    )
    assert.equal(revision, 1)
    assert.equal((await store.list('')).entries.length, 4)
  })

  check('lists a part after a key, as large as is wanted, and counts', async (store) => {
    await store.transaction([], [put('/p', '0'), put('/p/', '1'), put('/p/a', '2'), put('/p/b', '3')])
    const keys = async (range: object) => {
      const { entries, more } = await store.list('/p/', range)
      return [...entries.map(({ key }) => key), more]
    }
    assert.deepEqual(await keys({ limit: 2 }), ['/p/', '/p/a', true])
    assert.deepEqual(await keys({ limit: 2, after: '/p/' }), ['/p/a', '/p/b', false])
    assert.deepEqual(await keys({ limit: 3 }), ['/p/', '/p/a', '/p/b', false])
    assert.deepEqual(await keys({ after: '/p/a' }), ['/p/b', false])
    assert.deepEqual(await keys({ after: '/o' }), ['/p/', '/p/a', '/p/b', false])
    for (const after of ['/p/b', '/q']) assert.deepEqual(await keys({ after, limit: 1 }), [false])
    assert.deepEqual(await keys({ maxBytes: 2 }), ['/p/', '/p/a', true])
    assert.deepEqual(await keys({ maxBytes: 3 }), ['/p/', '/p/a', '/p/b', false])
    assert.deepEqual(await keys({ maxBytes: 0, after: '/p/' }), ['/p/a', true], 'one in any case')
    assert.deepEqual(await keys({ maxBytes: 2, limit: 1 }), ['/p/', true])
    assert.deepEqual(await keys({ maxBytes: 0, after: '/p/a' }), ['/p/b', false])
    assert.deepEqual([await store.count('/p/'), await store.count('/p/', { after: '/p/a' })], [3, 1])
  })

  check('lists every revision that it keeps as it was, also in parts', async (store) => {
    const key = fc.constantFrom('/1', '/2', '/3', '/4')
    const operation = fc.oneof(
      fc.record({ type: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 2 }) }),
      fc.record({ type: fc.constant('delete' as const), key }),
    )
    const operations = fc.uniqueArray(operation, { selector: ({ key }) => key, minLength: 1 })
    let runs = 0
    const property = fc.asyncProperty(fc.array(operations, { maxLength: 12 }), async (writes) => {
      const prefix = `/run-${runs++}`
      const then = new Map<number, string[]>()
      for (const part of writes) {
        await store.transaction(
          [],
          part.map((item) => ({ ...item, key: prefix + item.key })),
        )
        const { entries, revision } = await store.list(prefix)
        then.set(revision, show(entries))
      }
      for (const [atRevision, expected] of then) {
        const first = await store.list(prefix, { atRevision, limit: 2 })
        const after = first.entries.at(-1)?.key
        const rest = await store.list(prefix, { atRevision, after })
        assert.deepEqual([first.revision, rest.revision], [atRevision, atRevision])
        assert.equal(first.more, expected.length > 2)
        assert.deepEqual(show([...first.entries, ...(first.more ? rest.entries : [])]), expected)
        assert.equal(await store.count(prefix, { atRevision }), expected.length)
      }
    })
    await fc.assert(property, { numRuns: 30 })
  })

  check('lists no revision that is no longer kept, or yet to come', async (store) => {
    for (let count = 0; count < 100; count++) await store.transaction([], [put('/a', String(count))])
    for (const atRevision of [1, 101]) {
      await assert.rejects(store.list('/', { atRevision }), { code: 'STORE_REVISION_GONE' })
      await assert.rejects(store.count('/', { atRevision }), { code: 'STORE_REVISION_GONE' })
    }
  })

  check('applies a transaction only when every compare holds, and names the key at fault', async (store) => {
    await store.transaction([], [put('/a', '1')])
    const compares = [
      { key: '/a', modRevision: 1 },
      { key: '/b', modRevision: 0 },
    ]
    assert.equal((await store.transaction(compares, [put('/a', '2'), put('/b', '2')])).ok, true)
    assert.deepEqual(await store.transaction(compares, [put('/a', '3'), put('/c', '3')]), {
      ok: false,
      conflict: '/a',
    })
    assert.equal(textOf((await store.get('/a'))?.value), '2')
    assert.equal(await store.get('/c'), undefined)
    assert.deepEqual(await store.transaction([{ key: '/b', modRevision: 0 }], []), {
      ok: false,
      conflict: '/b',
    })
  })

  check('gives one of many racing writers the key', async (store) => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        store.transaction([{ key: '/lock', modRevision: 0 }], [put('/lock', String(index))]),
      ),
    )
    assert.equal(results.filter(({ ok }) => ok).length, 1)
  })

  check('counts a transaction that changes nothing as none', async (store) => {
    await store.transaction([], [put('/a', '1')])
    assert.deepEqual(await store.transaction([], [remove('/missing')]), { ok: true, revision: 1 })
    assert.deepEqual(await store.transaction([], []), { ok: true, revision: 1 })
    assert.deepEqual(await store.transaction([], [put('/a', '2')]), { ok: true, revision: 2 })
  })

  check('forgets a deleted key, whose next creation is a new one', async (store) => {
    await store.transaction([], [put('/a', '1')])
    await store.transaction([], [remove('/a')])
    assert.equal(await store.get('/a'), undefined)
    await store.transaction([{ key: '/a', modRevision: 0 }], [put('/a', '2')])
    assert.equal((await store.get('/a'))?.createRevision, 3)
  })

  check('replays the changes after a revision in order, with what was there before', async (store) => {
    await store.transaction([], [put('/w/a', '1'), put('/x', '1')])
    await store.transaction([], [put('/w/a', '2'), put('/w/b', '2')])
    await store.transaction([], [remove('/w/a')])
    assert.deepEqual(await take(store, '/w/', 0, 4), ['/w/a=1@1', '/w/a=2@2(1)', '/w/b=2@2', '-/w/a@3(2)'])
    assert.deepEqual(await take(store, '/w/', 2, 1), ['-/w/a@3(2)'])
  })

  const sendsAll = async (store: Store) => {
    const watches = [take(store, '/w/', 0, 200), take(store, '/w/', 0, 200)]
    for (let batch = 0; batch < 20; batch++) {
      await Promise.all(
        Array.from({ length: 10 }, (_, index) => store.transaction([], [put(`/w/${batch}-${index}`, 'x')])),
      )
    }
    for (const seen of await Promise.all(watches)) {
      assert.deepEqual(
        seen.map((text) => Number(text.split('@')[1])),
        Array.from({ length: 200 }, (_, index) => index + 1),
      )
    }
  }
  // All are kept: a store may follow what others write only after it has begun to write itself.
  check('sends changes as they happen, none missing or doubled, to every watch', sendsAll, 200)

  check('never splits the changes of one transaction', async (store) => {
    const operations = Array.from({ length: 1500 }, (_, index) => put(`/w/${index}`, 'x'))
    await store.transaction([], operations)
    const { signal } = new AbortController()
    for await (const events of store.watch('/w/', { afterRevision: 0, signal })) {
      assert.equal(events.length, 1500)
      break
    }
  })

  check('ends a watch once it has come to a revision, whatever that changed', async (store) => {
    await store.transaction([], [put('/w/a', '1')])
    await store.transaction([], [put('/x', '1')])
    const { signal } = new AbortController()
    const batches = await Array.fromAsync(store.watch('/w/', { afterRevision: 0, untilRevision: 2, signal }))
    assert.deepEqual(batches.flat().map(describe), ['/w/a=1@1'])
    assert.deepEqual(
      await Array.fromAsync(store.watch('/w/', { afterRevision: 1, untilRevision: 2, signal })),
      [],
    )
  })

  check('tells a watcher how far it has come, also when nothing there changes', async (store) => {
    const stop = new AbortController()
    const progress: number[] = []
    const onProgress = (revision: number) => {
      progress.push(revision)
      if (revision === 2) stop.abort()
    }
    const ended = Array.fromAsync(store.watch('/w/', { afterRevision: 0, signal: stop.signal, onProgress }))
    await store.transaction([], [put('/w/a', '1')])
    await store.transaction([], [put('/x', '1')])
    assert.deepEqual((await ended).flat().map(describe), ['/w/a=1@1'])
    assert.equal(progress.at(-1), 2)
  })

  check('ends a watch on abort', async (store) => {
    const stop = new AbortController()
    const ended = (async () => {
      for await (const _ of store.watch('/', { afterRevision: 0, signal: stop.signal }));
    })()
    stop.abort()
    await ended
  })

  check('says so when the changes asked for are no longer kept', async (store) => {
    for (let count = 0; count < 100; count++) await store.transaction([], [put('/a', String(count))])
    await assert.rejects(take(store, '/', 1, 1), { code: 'STORE_REVISION_GONE' })
    assert.deepEqual(await take(store, '/', 99, 1), ['/a=99@100(98)'])
  })

  check('says so when the revision asked for is yet to come', async (store) => {
    await assert.rejects(take(store, '/', 7, 1), { code: 'STORE_REVISION_GONE' })
  })

  check('takes other entries in place of all, at a revision that was never seen', async (store) => {
    await store.transaction([], [put('/a', '1'), put('/b', '1')])
    const watch = assert.rejects(take(store, '/', 1, 1), { code: 'STORE_REVISION_GONE' })
    const { revision } = await store.replaceAll([{ key: '/c', value: bytes('3') }], { aboveRevision: 5_000 })
    await watch
    assert.ok(revision > 1_000_000)
    assert.deepEqual(await store.list(''), {
      entries: [
        { key: '/c', value: (await store.get('/c'))!.value, modRevision: revision, createRevision: revision },
      ],
      revision,
      more: false,
    })
    for (const seen of [0, 1, 4_000]) {
      await assert.rejects(take(store, '/', seen, 1), { code: 'STORE_REVISION_GONE' })
    }
    const next = take(store, '/', revision, 1)
    await store.transaction([{ key: '/c', modRevision: revision }], [put('/c', '4')])
    assert.deepEqual(await next, [`/c=4@${revision + 1}(3)`])
  })

  void test(`${name}: ends watches and refuses requests once closed`, async () => {
    const store = await open({ keepRevisions: 20 })
    const watch = assert.rejects(take(store, '/', 0, 1), { code: 'STORE_UNAVAILABLE' })
    await store[Symbol.asyncDispose]()
    await watch
    await assert.rejects(store.get('/a'), { code: 'STORE_UNAVAILABLE' })
  })
}

/** `openPlace` makes a place whose store is opened, closed and opened again. */
export function testLaggingWatches(name: string, openPlace: () => Promise<() => Promise<Store>>): void {
  void test(`${name}: gives a watch that lags large changes a part at a time, and transactions whole`, async () => {
    const open = await openPlace()
    const value = bytes('x'.repeat(100_000))
    const large = (...keys: string[]) => keys.map((key) => ({ type: 'put', key, value }) as const)
    {
      await using store = await open()
      for (let count = 1; count <= 8; count++) await store.transaction([], large('/a'))
      await store.transaction([], large('/b', '/c', '/d', '/e'))
    }
    // In the log, and not in memory any more.
    await using store = await open()
    const { signal } = new AbortController()
    const batches = await Array.fromAsync(store.watch('/', { afterRevision: 0, untilRevision: 9, signal }))
    const sizes = batches.map((events) => events.length)
    assert.ok(sizes.slice(0, -1).every((size) => size <= 2))
    assert.equal(sizes.at(-1), 4)
    const revisions = batches.flat().map((event) => event.type === 'put' && event.entry.modRevision)
    assert.deepEqual(revisions, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9])
  })
}
