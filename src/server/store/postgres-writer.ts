import type { ClientBase, QueryResultRow } from 'pg'
import { Fault } from '#base/errors'
import { historyGap, type Store, type StoreCompare, type StoreKey, type StoreOperation } from './ports.ts'

// Transactions that wait while the database works; beyond that it is not keeping up and callers are told so.
const maxWaiting = 10_000
const maxBatch = 256
const maxBatchBytes = 4 * 1024 * 1024
type Outcome = Awaited<ReturnType<Store['transaction']>>

interface Waiting {
  readonly compares: readonly StoreCompare[]
  readonly operations: readonly StoreOperation[]
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: Fault) => void
}

/** Runs one statement. */
type Run = (statement: string, values: unknown[]) => Promise<readonly QueryResultRow[]>

const sizeOf = ({ operations }: Waiting) =>
  operations.reduce((sum, operation) => sum + (operation.type === 'put' ? operation.value.length : 0), 0)

/** Applies transactions by the function of the schema, all of them in one statement that is a transaction itself. */
async function write(
  run: Run,
  keepRevisions: number,
  batch: readonly Pick<Waiting, 'compares' | 'operations'>[],
): Promise<Outcome[]> {
  const ends = (counts: readonly number[]) => counts.map((_, index) => sum(counts.slice(0, index + 1)))
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0)
  const compares = batch.flatMap((item) => item.compares)
  const operations = batch.flatMap((item) => item.operations)
  const rows = await run('SELECT committed, conflict FROM tideway_write($1, $2, $3, $4, $5, $6, $7, $8)', [
    ends(batch.map((item) => item.compares.length)),
    compares.map(({ key }) => key),
    compares.map(({ modRevision }) => modRevision),
    ends(batch.map((item) => item.operations.length)),
    operations.map(({ key }) => key),
    operations.map((operation) => (operation.type === 'put' ? operation.value : null)),
    keepRevisions,
    historyGap,
  ])
  return (rows as { committed: number; conflict: StoreKey | null }[]).map(({ committed, conflict }) =>
    conflict === null ? { ok: true, revision: committed } : { ok: false, conflict },
  )
}

/** Lets the database notice that it is on another line of history than before. */
export async function settleHistory(run: Run, keepRevisions: number): Promise<void> {
  await write(run, keepRevisions, [])
}

/**
 * Where the database is behind `seen` on its own line of history, as after a return to a snapshot of its disk: raises
 * the newest revision above it and forgets the change log, as another history does.
 */
export async function raiseAbove(run: Run, seen: number): Promise<void> {
  const statement = `WITH raised AS (
      UPDATE tideway_counters SET head = $1::bigint + $2, floor = $1::bigint + $2 WHERE head < $1 RETURNING head
    ) DELETE FROM tideway_changes WHERE EXISTS (SELECT FROM raised)`
  await run(statement, [seen, historyGap])
}

const replaceChunk = 1_000

/** `Store.replaceAll`, on a connection of its own that is patient. */
export async function replaceAll(
  client: Pick<ClientBase, 'query'>,
  entries: Parameters<Store['replaceAll']>[0],
  aboveRevision: number,
): Promise<number> {
  await client.query('BEGIN')
  const { rows } = await client.query<{ head: number }>(
    `UPDATE tideway_counters SET head = greatest(head, $1) + $2, floor = greatest(head, $1) + $2,
       history = tideway_history() RETURNING head`,
    [aboveRevision, historyGap],
  )
  const { head } = rows[0]!
  await client.query('DELETE FROM tideway_entries')
  await client.query('DELETE FROM tideway_changes')
  for (let at = 0; at < entries.length; at += replaceChunk) {
    const chunk = entries.slice(at, at + replaceChunk)
    await client.query(
      `INSERT INTO tideway_entries SELECT key, value, $3, $3 FROM unnest($1::text[], $2::bytea[]) AS new (key, value)`,
      [chunk.map(({ key }) => key), chunk.map(({ value }) => value), head],
    )
  }
  await client.query(`SELECT pg_notify('tideway', '')`)
  await client.query('COMMIT')
  return head
}

/**
 * Commits transactions in the order in which they come: those that come while the database works go together.
 * `run` rejects with a fault.
 */
export function openPostgresWriter({
  run,
  keepRevisions,
  onCommit,
}: {
  run: Run
  keepRevisions: number
  onCommit: () => void
}): { transaction: Store['transaction']; idle(): Promise<void> } {
  const waiting: Waiting[] = []
  let working: Promise<void> | undefined

  function takeBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    while (count < Math.min(waiting.length, maxBatch) && (count === 0 || bytes < maxBatchBytes)) {
      bytes += sizeOf(waiting[count++]!)
    }
    return waiting.splice(0, count)
  }

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const batch = takeBatch()
      try {
        const outcomes = await write(run, keepRevisions, batch)
        onCommit()
        for (const [index, { resolve }] of batch.entries()) resolve(outcomes[index]!)
      } catch (error) {
        for (const { reject } of batch) reject(error as Fault)
      }
    }
    working = undefined
  }

  return {
    transaction(compares, operations) {
      if (waiting.length >= maxWaiting) {
        const message = `${maxWaiting} transactions wait for the database already`
        return Promise.reject(new Fault('STORE_UNAVAILABLE', message))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ compares, operations, resolve, reject })
        working ??= work()
      })
    },
    async idle() {
      await working
    },
  }
}
