import type { ClientBase, Pool, QueryResultRow } from 'pg'
import { revisionGone, type Changes } from './change-feed.ts'
import {
  changeBytesPerRead,
  changesPerRead,
  toEvent,
  wholeTransactions,
  type ChangeRow,
} from './change-rows.ts'
import { keyRange } from './key-range.ts'
import type { Store, StoreEntry, StoreKey, StoreRange } from './ports.ts'

type Connection = Pick<ClientBase | Pool, 'query'>

// Each is one statement, and so sees one moment, whatever is written meanwhile.
const entryColumns = 'key, value, mod_revision AS "modRevision", create_revision AS "createRevision"'
const changeColumns = `revision, key, value, create_revision AS "createRevision",
  previous_value AS "previousValue", previous_mod_revision AS "previousModRevision"`
const changeSize = 'coalesce(octet_length(value), 0) + coalesce(octet_length(previous_value), 0)'
const selectChanges = `SELECT counters.head, counters.floor, found.*
  FROM tideway_counters AS counters LEFT JOIN LATERAL (
    SELECT ${changeColumns}, position, sum(${changeSize}) OVER (
        ORDER BY revision, position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM tideway_changes
    WHERE revision > $1 AND key >= $2 AND key < $3 ORDER BY revision, position LIMIT ${changesPerRead}
  ) AS found ON coalesce(found.before, 0) <= ${changeBytesPerRead} ORDER BY found.revision, found.position`
const selectRevision = `SELECT ${changeColumns} FROM tideway_changes
  WHERE revision = $1 AND key >= $2 AND key < $3 ORDER BY position`

async function rowsOf<R extends QueryResultRow>(
  connection: Connection,
  statement: string,
  values: unknown[],
): Promise<R[]> {
  return (await connection.query<R>(statement, values)).rows
}

export async function readEntry(connection: Connection, key: StoreKey): Promise<StoreEntry | undefined> {
  const statement = `SELECT ${entryColumns} FROM tideway_entries WHERE key = $1`
  const [entry] = await rowsOf<StoreEntry & QueryResultRow>(connection, statement, [key])
  return entry
}

// As of a revision, the newest if it is null: what has not changed since, and what was there before the first change.
const range = `SELECT ${entryColumns} FROM tideway_entries
    WHERE key >= $1 AND key < $2 AND mod_revision <= coalesce($3, head)
  UNION ALL SELECT key, previous_value, previous_mod_revision, create_revision FROM tideway_changes
    WHERE revision > coalesce($3, head) AND key >= $1 AND key < $2
      AND previous_mod_revision <= coalesce($3, head)`
const selectRange = `SELECT head, floor, found.* FROM tideway_counters LEFT JOIN LATERAL (
    SELECT page.*, count(*) OVER () AS available, sum(octet_length(value)) OVER (ORDER BY key) AS bytes,
      row_number() OVER (ORDER BY key) AS position
    FROM (${range} ORDER BY key LIMIT $4) AS page
  ) AS found ON position <= coalesce($5, position) AND (bytes <= coalesce($6, bytes) OR position = 1) ORDER BY key`
const countRange = `SELECT head, floor, (SELECT count(*) FROM (${range}) AS found) AS count FROM tideway_counters`

interface Counters {
  readonly head: number
  readonly floor: number
}

function expectKnown({ head, floor }: Counters, at = head): number {
  if (at < floor || at > head) throw revisionGone(at)
  return at
}

/** @throws Fault STORE_REVISION_GONE */
export async function readEntries(
  connection: Connection,
  prefix: StoreKey,
  { after, limit, maxBytes, atRevision }: StoreRange = {},
): ReturnType<Store['list']> {
  // One beyond the limit shows that there are more.
  const most = limit === undefined ? null : limit + 1
  type Found = StoreEntry & { readonly available: number }
  const rows = await rowsOf<Counters & (Found | { [K in keyof Found]: null })>(connection, selectRange, [
    ...keyRange(prefix, after),
    atRevision ?? null,
    most,
    limit ?? null,
    maxBytes ?? null,
  ])
  const revision = expectKnown(rows[0]!, atRevision)
  const entries = rows.flatMap(({ key, value, modRevision, createRevision }) =>
    key === null ? [] : [{ key, value, modRevision, createRevision }],
  )
  return { entries, revision, more: (rows[0]!.available ?? 0) > entries.length }
}

/** @throws Fault STORE_REVISION_GONE */
export async function countEntries(
  connection: Connection,
  prefix: StoreKey,
  { after, atRevision }: StoreRange = {},
): Promise<number> {
  const [row] = await rowsOf<Counters & { count: number }>(connection, countRange, [
    ...keyRange(prefix, after),
    atRevision ?? null,
  ])
  expectKnown(row!, atRevision)
  return row!.count
}

/** Undefined when the changes asked for are no longer kept; `head` is the newest revision either way. */
export async function readChanges(
  connection: Connection,
  prefix: StoreKey,
  afterRevision: number,
): Promise<{ changes: Changes | undefined; head: number }> {
  const keys = keyRange(prefix)
  const found = await rowsOf<{ head: number; floor: number } & (ChangeRow | { revision: null })>(
    connection,
    selectChanges,
    [afterRevision, ...keys],
  )
  const { head, floor } = found[0]!
  if (floor > afterRevision) return { changes: undefined, head }
  const rows = found.filter((row): row is typeof row & ChangeRow => row.revision !== null)
  const whole = wholeTransactions(rows, head)
  if (whole) return { changes: whole, head }
  const { revision } = rows[0]!
  const alone = await rowsOf<ChangeRow & QueryResultRow>(connection, selectRevision, [revision, ...keys])
  return { changes: { events: alone.map(toEvent), revision }, head }
}
