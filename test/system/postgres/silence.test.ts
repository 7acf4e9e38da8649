// Connections that lead nowhere any more, and are not closed.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openPostgresStore, type Store } from '#server/store'
import { openCluster, type Cluster } from './cluster.ts'
import { openLines } from './lines.ts'

/** Five seconds are promised; as much again for a machine that is busy. */
const withinMs = 10_000

let cluster: Cluster
before(async () => (cluster = await openCluster()))
after(() => cluster[Symbol.asyncDispose]())

async function openBed() {
  const target = await cluster.createDatabase()
  const lines = await openLines(target)
  return { target, lines, store: await openPostgresStore({ target: lines.target }) }
}
const write = (store: Store, key: string) =>
  store.transaction([], [{ type: 'put', key, value: Buffer.from('x') }])

async function took(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

test('the one that brings notifications: neither writes nor watches are late for long', async (context) => {
  const { target, lines, store } = await openBed()
  await using _lines = lines
  await using _store = store
  await using other = await openPostgresStore({ target })
  await write(store, '/a')
  const { signal } = new AbortController()
  const seen = store.watch('/b', { afterRevision: 1, signal })[Symbol.asyncIterator]().next()
  lines.silence('listener')
  const ms = await took(async () => {
    await Promise.all([write(store, '/c'), write(other, '/b'), seen])
  })
  context.diagnostic(`${Math.round(ms)} ms`)
  assert.ok(ms < withinMs)
})

test('all of them: what is under way fails, and nothing after it', async (context) => {
  const { lines, store } = await openBed()
  await using _lines = lines
  await using _store = store
  await write(store, '/a')
  // So many are kept open.
  await Promise.all(Array.from({ length: 8 }, () => store.get('/a')))
  lines.silence('all')
  const ms = await took(async () => {
    const refused = { code: 'STORE_UNAVAILABLE' }
    await Promise.all([assert.rejects(write(store, '/b'), refused), store.get('/a').catch(() => {})])
    for (let round = 0; round < 8; round++) await Promise.all([write(store, '/b'), store.get('/a')])
  })
  context.diagnostic(`${Math.round(ms)} ms`)
  assert.ok(ms < withinMs)
})

test('all of them: a server still ends', async () => {
  const { lines, store } = await openBed()
  await using _lines = lines
  await write(store, '/a')
  lines.silence('all')
  const closed = store[Symbol.asyncDispose]().then(() => 'closed')
  assert.equal(await Promise.race([closed, delay(withinMs, 'late', { ref: false })]), 'closed')
})

test('the one that brings notifications, cut where no other may be made: changes come all the same', async (context) => {
  const { target, lines, store } = await openBed()
  await using _lines = lines
  await using _store = store
  await using other = await openPostgresStore({ target })
  await Promise.all(Array.from({ length: 4 }, () => store.get('/a')))
  await write(other, '/a')
  const { signal } = new AbortController()
  const seen = store.watch('/b', { afterRevision: 1, signal })[Symbol.asyncIterator]().next()
  // As when other programs have taken the rest.
  const limit = (count: number) =>
    cluster.query('postgres', `ALTER DATABASE ${target.database} CONNECTION LIMIT ${count}`)
  await limit(1)
  lines.cutListener()
  const ms = await took(() => Promise.all([write(other, '/b'), seen]))
  context.diagnostic(`${Math.round(ms)} ms`)
  assert.ok(ms < withinMs)
  await limit(-1)
})
