import { backoffMs, systemClock, type Clock } from '#base/clock'
import { isFault } from '#base/errors'
import { silentLog, type Log } from '#base/log'
import type { PoolClient } from 'pg'
import { openChangeFeed, revisionGone, storeClosed, type Changes } from './change-feed.ts'
import type { Store, StoreKey } from './ports.ts'
import { nameOf, openPostgres, type PostgresOptions } from './postgres-connection.ts'
import { countEntries, readChanges, readEntries, readEntry } from './postgres-reads.ts'
import { migratePostgres } from './postgres-schema.ts'
import { openPostgresTail } from './postgres-tail.ts'
import { openPostgresWriter, replaceAll, settleHistory } from './postgres-writer.ts'

/** How long a request waits for a database that restarts or is exchanged before it is refused. */
const patienceMs = 5_000
const retry = { baseMs: 50, maxMs: 500, random: Math.random }
const maxReads = 10_000
const recentRevisions = 512

export interface PostgresStoreOptions extends PostgresOptions {
  readonly keepRevisions?: number
  readonly clock?: Clock
  readonly log?: Log
}

/**
 * Opens a store in a PostgreSQL database, with as many others as want to; brings the schema up to date first. While
 * the database is away watches wait, reads and writes do for five seconds; a write whose connection was lost on the
 * way is refused at once, and may have happened.
 * @throws Fault STORE_UNAVAILABLE, STORE_CORRUPT when the schema is of a newer version
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { target, keepRevisions = 10_000, clock = systemClock, log = silentLog } = options
  await using opening = new AsyncDisposableStack()
  const postgres = opening.use(await openPostgres(options))
  const { lease, release, alone, describe } = postgres
  await migratePostgres(postgres, nameOf(target))
  let reads = 0
  let closed = false

  /** A connection, waited for. */
  async function acquire(patience = patienceMs): Promise<PoolClient> {
    const deadline = clock.monotonic() + patience
    for (let attempt = 0; ; attempt++) {
      if (closed) throw storeClosed()
      try {
        return await lease()
      } catch (error) {
        const fault = describe(error)
        if (clock.monotonic() >= deadline || !isFault(fault, 'STORE_UNAVAILABLE')) throw fault
      }
      await clock.sleep(backoffMs(attempt, retry), { unref: true })
    }
  }

  async function use<T>(work: (client: PoolClient) => Promise<T>, patience?: number): Promise<T> {
    const client = await acquire(patience)
    try {
      const result = await work(client)
      release(client)
      return result
    } catch (error) {
      release(client, error)
      throw describe(error)
    }
  }

  /** What changes nothing is tried again while there is patience. */
  async function read<T>(work: (client: PoolClient) => Promise<T>, patience = patienceMs): Promise<T> {
    if (closed) throw storeClosed()
    if (reads >= maxReads) throw describe(new Error(`${maxReads} reads wait for the database already`))
    const deadline = clock.monotonic() + patience
    reads++
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          return await use(work, Math.max(0, deadline - clock.monotonic()))
        } catch (error) {
          if (closed || clock.monotonic() >= deadline || !isFault(error, 'STORE_UNAVAILABLE')) throw error
        }
        await clock.sleep(backoffMs(attempt, retry), { unref: true })
      }
    } finally {
      reads--
    }
  }

  const run = (statement: string, values: unknown[]) =>
    use(async (client) => (await client.query(statement, values)).rows as Record<string, unknown>[])

  await settleHistory(run, keepRevisions)
  const { revision } = await read((client) => readEntries(client, '/no-such-key'))
  const feed = openChangeFeed({
    revision,
    keep: Math.min(recentRevisions, keepRevisions),
    async older(prefix, afterRevision) {
      const changes = await changesAfter(prefix, afterRevision)
      // The database may be ahead of the feed, from which the watch goes on.
      await tail.reached(changes.revision)
      return changes
    },
  })
  const tail = opening.use(openPostgresTail({ postgres, feed, keepRevisions, clock, log }))
  const writer = openPostgresWriter({ run, keepRevisions, onCommit: () => tail.nudge() })

  async function changesAfter(prefix: StoreKey, afterRevision: number): Promise<Changes> {
    const { changes } = await read((client) => readChanges(client, prefix, afterRevision), Infinity)
    if (!changes) throw revisionGone(afterRevision)
    return changes
  }

  /** Others may have written what we have not heard of yet. */
  async function expectKnown(revision: number): Promise<void> {
    if (revision <= feed.revision) return
    const { head } = await read((client) => readChanges(client, '', revision), Infinity)
    if (revision > head) throw revisionGone(revision)
    await tail.reached(revision)
  }

  const opened = opening.move()
  return {
    get: (key) => read((client) => readEntry(client, key)),
    list: (prefix, range) => read((client) => readEntries(client, prefix, range)),
    count: (prefix, range) => read((client) => countEntries(client, prefix, range)),
    async transaction(compares, operations) {
      if (closed) throw storeClosed()
      const outcome = await writer.transaction(compares, operations)
      // Watches here learn of a change no later than its writer.
      if (outcome.ok) await tail.reachedSoon(outcome.revision)
      return outcome
    },
    async replaceAll(entries, { aboveRevision }) {
      const revision = await alone((client) => replaceAll(client, entries, aboveRevision))
      tail.nudge()
      await tail.reachedSoon(revision)
      return { revision }
    },
    async *watch(prefix, watchOptions) {
      await expectKnown(watchOptions.afterRevision)
      yield* feed.watch(prefix, watchOptions)
    },
    async [Symbol.asyncDispose]() {
      if (closed) return
      await writer.idle()
      closed = true
      feed.close()
      await opened.disposeAsync()
    },
  }
}
