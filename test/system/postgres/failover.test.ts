// A primary that dies and a standby that takes its place, with stores that know both.
import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { openTokenIssuer } from '#server/issuer'
import { openCustody } from '#server/keys'
import { openChanges, openScopes, openStreamReports } from '#server/reconcile'
import { openPostgresStore, type PostgresTarget, type Store } from '#server/store'
import { daemonNamed, planOf } from '../../../src/server/reconcile/fixture.ts'
import { historyGap } from '../../../src/server/store/ports.ts'
import { openCluster, type Cluster, type Standby } from './cluster.ts'

/** Until it is so; fails after a minute. */
async function until(what: string, probe: () => Promise<boolean>): Promise<void> {
  for (const start = performance.now(); !(await probe());) {
    assert.ok(performance.now() - start < 60_000, `still not so after a minute: ${what}`)
    await delay(20)
  }
}

/** Writes to one key after another until it is disposed of; those that were acknowledged. */
function writeOn(store: Store): AsyncDisposable & { readonly acknowledged: Set<string> } {
  const acknowledged = new Set<string>()
  const ended = new AbortController()
  const writing = (async () => {
    for (let number = 0; !ended.signal.aborted; number++) {
      const key = `/written/${String(number).padStart(6, '0')}`
      const written = store.transaction([], [{ type: 'put', key, value: Buffer.from('x') }])
      await written.then(
        () => acknowledged.add(key),
        () => delay(20),
      )
    }
  })()
  return {
    acknowledged,
    async [Symbol.asyncDispose]() {
      ended.abort()
      await writing
    },
  }
}

describe('a failover', () => {
  const stack = new AsyncDisposableStack()
  let cluster: Cluster
  let standby: Standby
  let target: PostgresTarget

  before(async () => {
    cluster = stack.use(await openCluster())
    const place = await cluster.createDatabase()
    standby = await cluster.openStandby()
    target = { ...place, others: [{ host: place.host, port: standby.port, tls: undefined }] }
  })
  after(() => stack.disposeAsync())

  it('a server that finds the standby first goes on to the primary', async () => {
    const { host, port } = target
    const swapped = { ...target, port: standby.port, others: [{ host, port, tls: undefined }] }
    await using store = await openPostgresStore({ target: swapped })
    const written = await store.transaction([], [{ type: 'put', key: '/a', value: Buffer.from('1') }])
    assert.equal(written.ok, true)
  })

  it('with a synchronous standby nothing is lost that was acknowledged, and nobody misses the change', async (context) => {
    await cluster.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = '*'`)
    await cluster.query('postgres', 'SELECT pg_reload_conf()')
    const state = `SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'`
    await until('the standby is synchronous', async () => (await cluster.query('postgres', state)).length > 0)
    await using one = await openPostgresStore({ target })
    await using other = await openPostgresStore({ target })
    const { signal } = new AbortController()
    const { revision: seen } = await other.list('/')
    const watch = assert.rejects(
      Array.fromAsync(other.watch('/', { afterRevision: seen, signal })),
      { code: 'STORE_REVISION_GONE' },
      'a watcher of the old history lists anew',
    )
    await using writer = writeOn(one)
    await until('writes', async () => writer.acknowledged.size > 50)
    await cluster.stop('SIGQUIT')
    const killed = performance.now()
    await standby.promote()
    const promoted = performance.now()
    const before = writer.acknowledged.size
    await until('writes again', async () => writer.acknowledged.size > before + 10)
    const healed = performance.now()
    await watch
    await writer[Symbol.asyncDispose]()
    const { entries, revision } = await other.list('/written/')
    const there = new Set(entries.map(({ key }) => key))
    assert.deepEqual(writer.acknowledged.difference(there), new Set())
    assert.ok(revision > historyGap)
    context.diagnostic(
      `promoted after ${Math.round(promoted - killed)} ms, written again ${Math.round(healed - promoted)} ms later; ` +
        `${writer.acknowledged.size} acknowledged, ${there.size - writer.acknowledged.size} more are there`,
    )
  })
})

/** A store, and a standby of its database that lags as soon as it is told to. */
async function openLagging() {
  await using opening = new AsyncDisposableStack()
  const cluster = opening.use(await openCluster())
  const place = await cluster.createDatabase()
  const standby = await cluster.openStandby()
  const target = { ...place, others: [{ host: place.host, port: standby.port, tls: undefined }] }
  const store = opening.use(await openPostgresStore({ target }))
  const put = async (key: string) => {
    const written = await store.transaction([], [{ type: 'put', key, value: Buffer.from('x') }])
    assert.ok(written.ok)
    return written.revision
  }
  const owned = opening.move()
  return {
    target,
    store,
    put,
    /** What is written from now on is lost with the primary; gives the last revision that is not. */
    async lag(): Promise<number> {
      const kept = await put('/kept')
      // The table may not be there yet, either.
      const replayed = `SELECT 1 FROM tideway_entries WHERE key = '/kept' AND mod_revision = ${kept}`
      await until('it is on the standby', async () => {
        return (await standby.query(target.database, replayed).catch(() => [])).length > 0
      })
      await standby.query('postgres', `ALTER SYSTEM SET primary_conninfo = ''`)
      await standby.query('postgres', 'SELECT pg_reload_conf()')
      const followers = 'SELECT 1 FROM pg_stat_replication'
      await until('the standby follows no more', async () => {
        return (await cluster.query('postgres', followers)).length === 0
      })
      return kept
    },
    async failOver(): Promise<void> {
      await cluster.stop('SIGQUIT')
      await standby.promote()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

describe('a failover to a standby that lags', () => {
  it('loses the last transactions, whose revisions nobody sees again', async () => {
    await using bed = await openLagging()
    const { store, put } = bed
    const kept = await bed.lag()
    const lost = await put('/lost')
    const { signal } = new AbortController()
    const watch = assert.rejects(Array.fromAsync(store.watch('/', { afterRevision: lost, signal })), {
      code: 'STORE_REVISION_GONE',
    })
    await bed.failOver()
    await watch
    assert.equal(await store.get('/lost'), undefined)
    assert.equal((await store.get('/kept'))?.modRevision, kept)
    assert.equal(await put('/next'), kept + historyGap + 1)
    const listed = await store.list('/')
    assert.deepEqual(
      listed.entries.map(({ key }) => key),
      ['/kept', '/next'],
    )
    await assert.rejects(store.list('/', { atRevision: lost }), { code: 'STORE_REVISION_GONE' })
  })

  it('takes a signing key with it that was published last: no server goes on with that, and another can be', async () => {
    await using bed = await openLagging()
    const { store } = bed
    const custody = await openCustody(store, createSecretKey(randomBytes(32)))
    const options = { store, custody, clock: systemClock, log: silentLog }
    const issuer = await openTokenIssuer({ ...options, settings: { url: 'https://issuer.example' } })
    const stop = new AbortController()
    const following = issuer.follow(stop)
    const kids = () => issuer.keys().map(({ kid }) => kid)
    const before = kids()
    await bed.lag()
    const { kid } = await issuer.rotate()
    assert.deepEqual(kids(), [...before, kid])
    await bed.failOver()
    await until('the key is forgotten', async () => !kids().includes(kid))
    const next = await issuer.rotate()
    assert.deepEqual(kids(), [...before, next.kid])
    assert.deepEqual((await custody.names('issuer/')).length, 2)
    stop.abort()
    await following
  })

  it('takes with it what servers said of their daemons: they say it again, and take back what came back', async () => {
    await using bed = await openLagging()
    await using second = await openPostgresStore({ target: bed.target })
    const stop = new AbortController()
    const { signal } = stop
    const open = (server: string, store: Store) => {
      const changes = openChanges()
      const scopes = openScopes({ changes })
      scopes.publish(planOf(), () => undefined)
      const reports = openStreamReports({
        store,
        server,
        scopes,
        changes,
        clock: systemClock,
        log: silentLog,
      })
      return { scopes, reports, running: reports.run({ signal }) }
    }
    const one = open('one', bed.store)
    const other = open('other', second)
    const known = (names: string) =>
      until(`connected elsewhere: ${names}`, async () => {
        const streams = other.reports.remote().map(({ daemon }) => daemon.name)
        return streams.sort().join() === names
      })
    async function connect(name: string) {
      const leaves = new AbortController()
      const updates = one.scopes.follow(daemonNamed(name), leaves)[Symbol.asyncIterator]()
      await updates.next()
      return async () => {
        leaves.abort()
        await updates.return?.()
      }
    }
    await connect('stays')
    const leave = await connect('leaves')
    await known('leaves,stays')
    await bed.lag()
    await leave()
    await connect('comes')
    await known('comes,stays')
    await bed.failOver()
    // The new history begins with what was there before.
    await until('it is followed', async () => (await second.list('/')).revision > historyGap)
    await known('comes,stays')
    await until('the store says so too', async () => {
      const { entries } = await second.list('/run/streams/')
      return entries.map(({ key }) => key).join() === '/run/streams/comes/one,/run/streams/stays/one'
    })
    stop.abort()
    await Promise.all([one.running, other.running])
  })
})
