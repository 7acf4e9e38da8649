import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { testLaggingWatches, testStore } from './contract.ts'
import { testCrashes } from './crash-contract.ts'
import { openMemoryStore } from './memory-store.ts'
import { testMigrations } from './migration-contract.ts'
import { migrateSqlite } from './sqlite-schema.ts'
import { openSqliteStore } from './sqlite-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'tideway-store-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const newPath = () => join(folder, `${files++}`, 'tideway.db')

testStore('memory', async (options) => openMemoryStore(options))
testStore('sqlite', (options) => openSqliteStore({ ...options, path: newPath() }))

const put = (key: string, text: string) => ({ type: 'put', key, value: Buffer.from(text) }) as const

test('sqlite: keeps everything over a restart, the change log included', async () => {
  const path = newPath()
  {
    await using store = await openSqliteStore({ path })
    await store.transaction([], [put('/a', '1')])
    await store.transaction([], [put('/a', '2')])
  }
  await using store = await openSqliteStore({ path })
  assert.equal((await store.get('/a'))?.modRevision, 2)
  for await (const events of store.watch('/', { afterRevision: 1, signal: new AbortController().signal })) {
    assert.equal(events.length, 1)
    break
  }
  assert.deepEqual(await store.transaction([], [put('/b', '1')]), { ok: true, revision: 3 })
})

testLaggingWatches('sqlite', async () => {
  const path = newPath()
  return () => openSqliteStore({ path })
})

test('sqlite: the files can be read by their owner only', async () => {
  const path = newPath()
  await using store = await openSqliteStore({ path })
  await store.transaction([], [put('/a', '1')])
  for (const file of [path, `${path}-wal`]) assert.equal(statSync(file).mode & 0o777, 0o600, file)
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
})

test('sqlite: takes back the rights that others have to an existing file', async () => {
  const path = newPath()
  await (await openSqliteStore({ path }))[Symbol.asyncDispose]()
  chmodSync(path, 0o644)
  await using _ = await openSqliteStore({ path })
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

test('sqlite: a second server on the same file is refused', async () => {
  const path = newPath()
  await using _ = await openSqliteStore({ path })
  await assert.rejects(openSqliteStore({ path }), {
    code: 'STORE_UNAVAILABLE',
    message: /in use by another process/,
  })
})

test('sqlite: a file that is no database is refused and left as it is', async () => {
  const path = newPath()
  await (await openSqliteStore({ path }))[Symbol.asyncDispose]()
  const garbage = 'this is not a database, whatever its name says. '.repeat(200)
  writeFileSync(path, garbage)
  await assert.rejects(openSqliteStore({ path }), { code: 'STORE_CORRUPT', message: /damaged/ })
  assert.equal(readFileSync(path, 'utf8'), garbage)
})

test('sqlite: a damaged database is refused', async () => {
  const path = newPath()
  {
    await using store = await openSqliteStore({ path })
    await store.transaction(
      [],
      Array.from({ length: 500 }, (_, index) => put(`/${index}`, 'x'.repeat(500))),
    )
  }
  truncateSync(path, Math.floor(statSync(path).size / 2 / 4096) * 4096)
  await assert.rejects(openSqliteStore({ path }), { code: 'STORE_CORRUPT', hint: /restore a backup/ })
})

test('sqlite: a file of a newer version is refused with the remedy, and left as it is', async () => {
  const path = newPath()
  await (await openSqliteStore({ path }))[Symbol.asyncDispose]()
  const database = new DatabaseSync(path)
  database.exec('PRAGMA user_version = 999')
  database.close()
  await assert.rejects(openSqliteStore({ path }), {
    code: 'STORE_CORRUPT',
    message: /newer version.*999/,
    hint: /start the newer version again, or restore a backup/,
  })
})

test("sqlite: another program's database is refused", async () => {
  const path = newPath()
  await (await openSqliteStore({ path }))[Symbol.asyncDispose]()
  const database = new DatabaseSync(path)
  database.exec('PRAGMA application_id = 1')
  database.close()
  await assert.rejects(openSqliteStore({ path }), { code: 'STORE_CORRUPT', message: /another program/ })
})

test('sqlite: a folder that cannot be made is a clear error', async () => {
  const path = newPath()
  await (await openSqliteStore({ path }))[Symbol.asyncDispose]()
  await assert.rejects(openSqliteStore({ path: join(path, 'below', 'db') }), { code: 'STORE_UNAVAILABLE' })
})

testCrashes('sqlite', 20, async () => {
  const path = newPath()
  return { place: { path }, open: () => openSqliteStore({ path }) }
})

testMigrations('sqlite', async () => {
  const path = join(folder, `${files++}.db`)
  function using<T>(work: (database: DatabaseSync) => T): T {
    const database = new DatabaseSync(path)
    try {
      return work(database)
    } finally {
      database.close()
    }
  }
  return {
    place: { path },
    shared: false,
    migrate: async (migrations) => using((database) => migrateSqlite(database, path, migrations)),
    query: async (statement) => using((database) => database.prepare(statement).all()),
  }
})
