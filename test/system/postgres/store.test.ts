import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Log } from '#base/log'
import { silentLog } from '#base/log'
import { openPostgresStore, type PostgresTarget, type Store } from '#server/store'
import { testLaggingWatches, testStore } from '../../../src/server/store/contract.ts'
import { testCrashes } from '../../../src/server/store/crash-contract.ts'
import { testBackups } from '../../../src/server/program/backup-contract.ts'
import { testMigrations } from '../../../src/server/store/migration-contract.ts'
import { openPostgres } from '../../../src/server/store/postgres-connection.ts'
import { migratePostgres } from '../../../src/server/store/postgres-schema.ts'
import { historyGap } from '../../../src/server/store/ports.ts'
import { openCluster, type Cluster } from './cluster.ts'

let cluster: Cluster
before(async () => (cluster = await openCluster()))
after(() => cluster[Symbol.asyncDispose]())

testStore('postgres', async (options) =>
  openPostgresStore({ ...options, target: await cluster.createDatabase() }),
)
testLaggingWatches('postgres', async () => {
  const target = await cluster.createDatabase()
  return () => openPostgresStore({ target })
})
testCrashes('postgres', 20, async () => {
  const target = await cluster.createDatabase()
  return { place: { target }, open: () => openPostgresStore({ target }) }
})

testMigrations('postgres', async () => {
  const target = await cluster.createDatabase()
  return {
    place: { target },
    shared: true,
    async migrate(migrations) {
      await using postgres = await openPostgres({ target })
      await migratePostgres(postgres, target.database, migrations)
    },
    query: (statement) => cluster.query(target.database, statement),
  }
})
testBackups('postgres', async () => openPostgresStore({ target: await cluster.createDatabase() }))

const put = (key: string, text = 'x') => ({ type: 'put', key, value: Buffer.from(text) }) as const

async function write(store: Store, key: string): Promise<number> {
  const result = await store.transaction([], [put(key)])
  assert.ok(result.ok)
  return result.revision
}

/** The revisions of a watch's first `count` events. */
async function revisions(store: Store, count: number, afterRevision = 0): Promise<number[]> {
  const seen: number[] = []
  const { signal } = new AbortController()
  for await (const events of store.watch('/', { afterRevision, signal })) {
    seen.push(...events.map((event) => (event.type === 'put' ? event.entry.modRevision : event.revision)))
    if (seen.length >= count) break
  }
  return seen
}

const oneTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** A log that tells when an event was said for the next time. */
function openListener(): { log: Log; next: (event: string) => Promise<void> } {
  const waiting = new Map<string, () => void>()
  const hear = (event: string) => waiting.get(event)?.()
  return {
    log: { ...silentLog, info: hear, warn: hear },
    next: (event) => new Promise((resolve) => waiting.set(event, resolve)),
  }
}

describe('several servers on one database', () => {
  test('writers of all of them make one order without gaps, which every watch of each sees', async () => {
    const target = await cluster.createDatabase()
    await using stack = new AsyncDisposableStack()
    const stores = await Promise.all(
      [1, 2, 3].map(async () => stack.use(await openPostgresStore({ target }))),
    )
    const watches = stores.map((store) => revisions(store, 600))
    await Promise.all(
      stores.map(async (store, writer) => {
        for (let round = 0; round < 20; round++) {
          await Promise.all(oneTo(10).map((index) => write(store, `/${writer}/${index}`)))
        }
      }),
    )
    for (const seen of await Promise.all(watches)) assert.deepEqual(seen, oneTo(600))
  })

  test('a revision that one of them gave can be watched from at another at once', async () => {
    const target = await cluster.createDatabase()
    await using one = await openPostgresStore({ target })
    await using other = await openPostgresStore({ target })
    for (let round = 0; round < 50; round++) {
      const revision = await write(one, '/a')
      const next = revisions(other, 1, revision)
      await write(one, '/b')
      assert.deepEqual(await next, [revision + 1])
    }
  })

  test('they start together on an empty database, and its schema is made once', async () => {
    const target = await cluster.createDatabase()
    await using stack = new AsyncDisposableStack()
    await Promise.all(oneTo(5).map(async () => stack.use(await openPostgresStore({ target }))))
    const versions = await cluster.query(target.database, 'SELECT version FROM tideway_schema')
    assert.equal(versions.length, 1)
  })

  test('a migration takes as long as it takes, and whoever starts meanwhile waits for it', async () => {
    const target = await cluster.createDatabase()
    await using postgres = await openPostgres({ target })
    // Longer than any statement of a server may.
    const migrations = ['CREATE TABLE slow AS SELECT 1 AS done FROM pg_sleep(13)']
    const start = () => migratePostgres(postgres, target.database, migrations)
    await Promise.all([start(), start()])
    assert.equal((await cluster.query(target.database, 'SELECT * FROM slow')).length, 1)
  })

  test('of racing writers at different servers one has the key', async () => {
    const target = await cluster.createDatabase()
    await using one = await openPostgresStore({ target })
    await using other = await openPostgresStore({ target })
    const results = await Promise.all(
      oneTo(40).map((index) =>
        (index % 2 ? one : other).transaction([{ key: '/lock', modRevision: 0 }], [put('/lock')]),
      ),
    )
    assert.equal(results.filter(({ ok }) => ok).length, 1)
  })
})

describe('a database that goes away', () => {
  test('connections cut under load: watches miss and double nothing, and the store heals', async () => {
    const target = await cluster.createDatabase()
    await using store = await openPostgresStore({ target })
    await using writer = await openPostgresStore({ target })
    const watch = revisions(store, 200)
    let written = 0
    for (let round = 0; round < 5; round++) {
      const cut = cluster.disconnect(target.database)
      while (written < (round + 1) * 40) {
        // One whose connection was lost on the way may have happened, so that the watch and not the answers count.
        await write(writer, '/a').catch((error: { code: string }) => {
          assert.equal(error.code, 'STORE_UNAVAILABLE')
        })
        written = (await writer.list('/none')).revision
      }
      await cut
    }
    assert.deepEqual((await watch).slice(0, 200), oneTo(200))
    assert.ok(await store.get('/a'))
  })

  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    test(`it is stopped by ${signal} and started again: who asks meanwhile waits, and watches go on`, async () => {
      const target = await cluster.createDatabase()
      await using store = await openPostgresStore({ target })
      const watch = revisions(store, 2)
      await write(store, '/a')
      await cluster.stop(signal)
      const read = store.get('/a')
      const written = write(store, '/b')
      await cluster.start()
      assert.equal((await read)?.modRevision, 1)
      assert.equal(await written, 2)
      assert.deepEqual(await watch, [1, 2])
    })
  }

  test('it stays away: requests are refused, and it heals once it is back', async () => {
    const target = await cluster.createDatabase()
    await using store = await openPostgresStore({ target })
    await cluster.stop()
    await Promise.all([
      assert.rejects(store.get('/a'), { code: 'STORE_UNAVAILABLE' }),
      assert.rejects(store.transaction([], [put('/a')]), { code: 'STORE_UNAVAILABLE' }),
    ])
    await cluster.start()
    assert.equal(await write(store, '/a'), 1)
  })

  test('changes compacted while a server was away are gone for its watches, which is said', async () => {
    const target = await cluster.createDatabase()
    const { log, next } = openListener()
    await using store = await openPostgresStore({ target, keepRevisions: 20, log })
    await using writer = await openPostgresStore({ target, keepRevisions: 20 })
    const first = await write(writer, '/a')
    await revisions(store, 1)
    const watch = assert.rejects(revisions(store, 1, first), { code: 'STORE_REVISION_GONE' })
    const lost = next('store.changes-lost')
    await cluster.query(
      target.database,
      `DELETE FROM tideway_changes; UPDATE tideway_counters SET head = 500, floor = 500`,
    )
    await cluster.disconnect(target.database)
    await Promise.all([lost, watch])
    assert.equal(await write(store, '/a'), 501)
  })

  test('another line of history: no revision comes again, and every watcher lists anew', async () => {
    const target = await cluster.createDatabase()
    await using store = await openPostgresStore({ target })
    const revision = await write(store, '/a')
    const watch = assert.rejects(revisions(store, 2, revision), { code: 'STORE_REVISION_GONE' })
    await cluster.query(target.database, `UPDATE tideway_counters SET history = 'before'`)
    await cluster.disconnect(target.database)
    await watch
    assert.equal(await write(store, '/b'), revision + historyGap + 1)
    assert.equal((await store.get('/a'))?.modRevision, revision)
    await assert.rejects(revisions(store, 1, revision + 5), { code: 'STORE_REVISION_GONE' })
  })

  test('a database that is set back, as to a snapshot of its disk: as another line of history', async () => {
    const target = await cluster.createDatabase()
    await using one = await openPostgresStore({ target })
    await using other = await openPostgresStore({ target })
    const kept = await write(one, '/a')
    for (const key of ['/b', '/c']) await write(one, key)
    const watches = [one, other].map((store) =>
      assert.rejects(revisions(store, 3, kept + 2), { code: 'STORE_REVISION_GONE' }),
    )
    for (const statement of [
      `DELETE FROM tideway_entries WHERE mod_revision > ${kept}`,
      `DELETE FROM tideway_changes WHERE revision > ${kept}`,
      `UPDATE tideway_counters SET head = ${kept}`,
    ])
      await cluster.query(target.database, statement)
    await cluster.disconnect(target.database)
    await Promise.all(watches)
    assert.ok((await write(one, '/d')) > historyGap)
    await assert.rejects(one.list('/', { atRevision: kept + 1 }), { code: 'STORE_REVISION_GONE' })
  })
})

describe('opening', () => {
  test('a database of a newer version is refused, and left as it is', async () => {
    const target = await cluster.createDatabase()
    await (await openPostgresStore({ target }))[Symbol.asyncDispose]()
    await cluster.query(target.database, 'UPDATE tideway_schema SET version = 999')
    await assert.rejects(openPostgresStore({ target }), {
      code: 'STORE_CORRUPT',
      message: /newer version.*999/,
      hint: /start the newer version again, or restore a backup/,
    })
    assert.deepEqual(await cluster.query(target.database, 'SELECT version FROM tideway_schema'), [
      { version: 999 },
    ])
  })

  test('a database or a user that does not exist, and a server that is not there, are said', async () => {
    const target = await cluster.createDatabase()
    const open = (changed: Partial<PostgresTarget>) =>
      openPostgresStore({ target: { ...target, ...changed } })
    await assert.rejects(open({ database: 'none' }), {
      code: 'STORE_UNAVAILABLE',
      message: /"none" does not exist/,
    })
    await assert.rejects(open({ user: 'none' }), { code: 'STORE_UNAVAILABLE', message: /role "none"/ })
    await assert.rejects(open({ host: '/nowhere' }), { code: 'STORE_UNAVAILABLE', message: /ENOENT/ })
  })
})
