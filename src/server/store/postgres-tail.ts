import { backoffMs, type Clock } from '#base/clock'
import type { Fault } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { ClientBase, QueryResultRow } from 'pg'
import type { ChangeFeed } from './change-feed.ts'
import type { Postgres } from './postgres-connection.ts'
import { readChanges } from './postgres-reads.ts'
import { raiseAbove, settleHistory } from './postgres-writer.ts'

/** Looked at this often without a notification too: finds out that a connection leads nowhere any more. */
const lookEveryMs = 2_000
const retry = { baseMs: 100, maxMs: 2_000, random: Math.random }

/** Keeps a feed in step with the database, through lost connections and exchanged databases. */
export interface PostgresTail extends AsyncDisposable {
  /** There may be something new. */
  nudge(): void
  /** Resolves when the feed has `revision`, or on close. */
  reached(revision: number): Promise<void>
  /** The same, and does not wait for a connection that is lost. */
  reachedSoon(revision: number): Promise<void>
}

export function openPostgresTail({
  postgres,
  feed,
  keepRevisions,
  clock,
  log,
}: {
  postgres: Postgres
  feed: ChangeFeed
  keepRevisions: number
  clock: Clock
  log: Log
}): PostgresTail {
  const stop = new AbortController()
  const { signal } = stop
  const news = openBell()
  const advanced = openBell()
  let connected = false

  async function pull(client: ClientBase): Promise<void> {
    for (;;) {
      const { changes, head } = await readChanges(client, '', feed.revision)
      if (head < feed.revision) {
        log.warn('store.set-back', { known: feed.revision, head })
        await raiseAbove(runOn(client), feed.revision)
        continue
      }
      if (!changes) {
        log.warn('store.changes-lost', { known: feed.revision, head })
        feed.skip(head)
      } else {
        for (const [revision, events] of Map.groupBy(changes.events, revisionOf))
          feed.append(revision, events)
      }
      advanced.ring()
      if (feed.revision >= head) return
    }
  }

  async function listen(): Promise<void> {
    const client = await postgres.connect()
    const lost = new AbortController()
    client.on('end', () => lost.abort())
    client.on('error', () => lost.abort())
    client.on('notification', () => news.ring())
    const either = AbortSignal.any([signal, lost.signal])
    let failure: unknown
    try {
      await client.query('LISTEN tideway')
      await settleHistory(runOn(client), keepRevisions)
      connected = true
      log.info('store.following', { revision: feed.revision })
      for (;;) {
        const heard = news.rings
        await pull(client)
        await afterAtMost(news, heard, { ms: lookEveryMs, clock, signal: either })
        if (signal.aborted) return
        if (lost.signal.aborted) throw new Error('the connection was lost')
      }
    } catch (error) {
      failure = error
      throw error
    } finally {
      connected = false
      advanced.ring()
      await postgres.end(client, failure)
    }
  }

  /**
   * Where the database takes no more connections it is asked on one of those that are shared: a server that goes on
   * to serve must not go on with what was so once, revocations least of all.
   */
  async function lookOnShared(): Promise<void> {
    const client = await postgres.lease()
    try {
      await settleHistory(runOn(client), keepRevisions)
      await pull(client)
      postgres.release(client)
    } catch (error) {
      postgres.release(client, error)
      throw error
    }
  }

  async function follow(): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const before = feed.revision
      const started = clock.monotonic()
      try {
        await listen()
      } catch (error) {
        const fault = postgres.describe(error)
        if (!signal.aborted) log.warn('store.connection-lost', { error: fault })
        if (isFull(fault)) await lookOnShared().catch(() => {})
      }
      if (feed.revision > before || clock.monotonic() - started > retry.maxMs) attempt = 0
      await clock.sleep(backoffMs(attempt, retry), { signal, unref: true }).catch(() => {})
    }
  }

  async function reached(revision: number, { patient }: { patient: boolean }): Promise<void> {
    for (;;) {
      const heard = advanced.rings
      if (feed.revision >= revision || signal.aborted || !(connected || patient)) return
      await advanced.after(heard, signal)
    }
  }

  const following = follow()
  return {
    nudge: () => news.ring(),
    reached: (revision) => reached(revision, { patient: true }),
    reachedSoon: (revision) => reached(revision, { patient: false }),
    async [Symbol.asyncDispose]() {
      stop.abort()
      news.ring()
      await following
    },
  }
}

/** Insufficient resources, such as connections (SQLSTATE class 53). */
const isFull = ({ cause }: Fault) => (cause as { code?: string } | undefined)?.code?.startsWith('53') === true

const revisionOf = (event: Parameters<ChangeFeed['append']>[1][number]) =>
  event.type === 'put' ? event.entry.modRevision : event.revision

const runOn =
  (client: ClientBase): Parameters<typeof settleHistory>[0] =>
  async (statement, values) =>
    (await client.query<QueryResultRow>(statement, values)).rows
