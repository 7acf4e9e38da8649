import type { ClientBase, Pool, QueryResultRow } from 'pg'
import type { Changes } from './change-feed.ts'
import { changesPerRead, toEvent, wholeTransactions, type ChangeRow } from './change-rows.ts'
import type { StoreEntry, StoreKey } from './ports.ts'

type Connection = Pick<ClientBase | Pool, 'query'>

/** Every key with a prefix is below the prefix followed by the last code point. */
const prefixEnd = (prefix: string) => `${prefix}\u{10ffff}`

// Each is one statement, and so sees one moment, whatever is written meanwhile.
const entryColumns = 'key, value, mod_revision AS "modRevision", create_revision AS "createRevision"'
const changeColumns = `revision, key, value, create_revision AS "createRevision",
  previous_value AS "previousValue", previous_mod_revision AS "previousModRevision"`
const selectChanges = `SELECT counters.head, counters.floor, found.*
  FROM tideway_counters AS counters LEFT JOIN LATERAL (
    SELECT ${changeColumns}, position FROM tideway_changes
    WHERE revision > $1 AND key >= $2 AND key < $3 ORDER BY revision, position LIMIT ${changesPerRead}
  ) AS found ON true ORDER BY found.revision, found.position`
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

export async function readEntries(
  connection: Connection,
  prefix: StoreKey,
): Promise<{ entries: readonly StoreEntry[]; revision: number }> {
  const rows = await rowsOf<{ head: number } & (StoreEntry | { [K in keyof StoreEntry]: null })>(
    connection,
    `SELECT head, ${entryColumns} FROM tideway_counters
       LEFT JOIN tideway_entries ON key >= $1 AND key < $2 ORDER BY key`,
    [prefix, prefixEnd(prefix)],
  )
  const entries = rows.flatMap(({ key, value, modRevision, createRevision }) =>
    key === null ? [] : [{ key, value, modRevision, createRevision }],
  )
  return { entries, revision: rows[0]!.head }
}

/** Undefined when the changes asked for are no longer kept; `head` is the newest revision either way. */
export async function readChanges(
  connection: Connection,
  prefix: StoreKey,
  afterRevision: number,
): Promise<{ changes: Changes | undefined; head: number }> {
  const range = [prefix, prefixEnd(prefix)]
  const found = await rowsOf<{ head: number; floor: number } & (ChangeRow | { revision: null })>(
    connection,
    selectChanges,
    [afterRevision, ...range],
  )
  const { head, floor } = found[0]!
  if (floor > afterRevision) return { changes: undefined, head }
  const rows = found.filter((row): row is typeof row & ChangeRow => row.revision !== null)
  const whole = wholeTransactions(rows, head)
  if (whole) return { changes: whole, head }
  const { revision } = rows[0]!
  const alone = await rowsOf<ChangeRow & QueryResultRow>(connection, selectRevision, [revision, ...range])
  return { changes: { events: alone.map(toEvent), revision }, head }
}
