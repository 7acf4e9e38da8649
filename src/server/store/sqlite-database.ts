import { chmodSync, closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { Fault, isFault } from '#base/errors'
import type { Changes } from './change-feed.ts'
import {
  changeBytesPerRead,
  changesPerRead,
  sizeOfRow,
  toEvent,
  wholeTransactions,
  type ChangeRow,
} from './change-rows.ts'
import { keyRange } from './key-range.ts'
import {
  historyGap,
  type StoreCompare,
  type StoreEntry,
  type StoreEvent,
  type StoreKey,
  type StoreOperation,
  type StoreRange,
} from './ports.ts'
import { damaged, migrateSqlite } from './sqlite-schema.ts'

export type Request =
  | { readonly type: 'get'; readonly key: StoreKey }
  | { readonly type: 'list' | 'count'; readonly prefix: StoreKey; readonly range: StoreRange }
  | { readonly type: 'changes'; readonly prefix: StoreKey; readonly afterRevision: number }
  | {
      readonly type: 'transaction'
      readonly compares: readonly StoreCompare[]
      readonly operations: readonly StoreOperation[]
    }
  | {
      readonly type: 'replaceAll'
      readonly entries: readonly { readonly key: StoreKey; readonly value: Uint8Array }[]
      readonly aboveRevision: number
    }

export type Reply =
  | { readonly type: 'entry'; readonly entry: StoreEntry | undefined }
  | {
      readonly type: 'entries'
      readonly entries: readonly StoreEntry[]
      readonly revision: number
      readonly more: boolean
    }
  | { readonly type: 'counted'; readonly count: number }
  | { readonly type: 'changes'; readonly changes: Changes }
  | { readonly type: 'gone' }
  | { readonly type: 'committed'; readonly revision: number; readonly events: readonly StoreEvent[] }
  | { readonly type: 'conflict'; readonly key: StoreKey }
  | { readonly type: 'replaced'; readonly revision: number }

/** The database file, synchronously: lives in the worker. */
export interface SqliteDatabase {
  readonly revision: number
  /** Answers requests in order; what they write is committed, together, before it returns. @throws Fault STORE_* */
  execute(requests: readonly Request[]): Reply[]
  close(): void
}

interface Row {
  readonly key: string
  readonly value: Uint8Array
  readonly modRevision: number
  readonly createRevision: number
}

function describeFailure(path: string, error: unknown): Fault {
  if (isFault(error)) return error
  const { message, errcode } = error as Error & { errcode?: number }
  // Primary result codes of SQLite: BUSY 5, CORRUPT 11, FULL 13, NOTADB 26.
  switch ((errcode ?? 0) & 0xff) {
    case 11:
    case 26:
      return damaged(path, message, error)
    case 5:
      return new Fault('STORE_UNAVAILABLE', `${path} is in use by another process`, {
        hint: 'one program at a time may use a SQLite store: stop the other first',
        cause: error,
      })
    case 13:
      return new Fault('STORE_UNAVAILABLE', `${path}: there is no room left on the disk`, {
        hint: 'make room: what is there can be read, and writes go on by themselves',
        cause: error,
      })
    default:
      return new Fault('STORE_UNAVAILABLE', `${path}: ${message}`, { cause: error })
  }
}

/** Creates the file for its owner only; SQLite gives the write-ahead log the same mode. */
function restrictFile(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
}

/**
 * Opens the file, creating it (mode 0600) and bringing its schema up to date. Changes of the newest
 * `keepRevisions` revisions at least are kept for watches.
 * @throws Fault STORE_CORRUPT when it is damaged, another program's, or a newer version's; STORE_UNAVAILABLE
 */
export function openSqliteDatabase({
  path,
  keepRevisions,
}: {
  path: string
  keepRevisions: number
}): SqliteDatabase {
  let database: DatabaseSync
  try {
    restrictFile(path)
    database = new DatabaseSync(path)
  } catch (error) {
    throw describeFailure(path, error)
  }
  try {
    migrateSqlite(database, path)
  } catch (error) {
    database.close()
    throw describeFailure(path, error)
  }

  const columns = 'key, value, mod_revision AS modRevision, create_revision AS createRevision'
  const selectOne = database.prepare(`SELECT ${columns} FROM entries WHERE key = ?`)
  // As of a revision: what has not changed since, and what was there before the first change since.
  const range = `SELECT ${columns} FROM entries WHERE key >= :from AND key < :to AND mod_revision <= :at
    UNION ALL SELECT key, previous_value, previous_mod_revision, create_revision FROM changes
    WHERE revision > :at AND key >= :from AND key < :to AND previous_mod_revision <= :at`
  const selectRange = database.prepare(`${range} ORDER BY key LIMIT :limit`)
  const countRange = database.prepare(`SELECT count(*) AS count FROM (${range})`)
  const upsert = database.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)')
  const remove = database.prepare('DELETE FROM entries WHERE key = ?')
  const insertChange = database.prepare('INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)')
  const selectChanges = database.prepare(
    `SELECT revision, key, value, create_revision AS createRevision, previous_value AS previousValue,
       previous_mod_revision AS previousModRevision
     FROM changes WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, position LIMIT ${changesPerRead}`,
  )
  const selectRevision = database.prepare(
    `SELECT revision, key, value, create_revision AS createRevision, previous_value AS previousValue,
       previous_mod_revision AS previousModRevision
     FROM changes WHERE revision = ? AND key >= ? AND key < ? ORDER BY position`,
  )
  const compact = database.prepare('DELETE FROM changes WHERE revision <= ?')
  const saveCounters = database.prepare('UPDATE counters SET head = ?, floor = ?')

  let { head, floor } = database.prepare('SELECT head, floor FROM counters').get() as {
    head: number
    floor: number
  }

  function get(key: StoreKey): StoreEntry | undefined {
    const row = selectOne.get(key) as Row | undefined
    return row && { ...row }
  }

  function put(key: StoreKey, value: Uint8Array, revision: number): StoreEvent {
    const previous = get(key)
    const entry: StoreEntry = {
      key,
      value,
      modRevision: revision,
      createRevision: previous?.createRevision ?? revision,
    }
    upsert.run(key, value, revision, entry.createRevision)
    return { type: 'put', entry, ...(previous && { previous }) }
  }

  function transact({ compares, operations }: Extract<Request, { type: 'transaction' }>): Reply {
    const broken = compares.find(({ key, modRevision }) => (get(key)?.modRevision ?? 0) !== modRevision)
    if (broken) return { type: 'conflict', key: broken.key }
    const revision = head + 1
    const events: StoreEvent[] = []
    for (const operation of operations) {
      if (operation.type === 'put') events.push(put(operation.key, operation.value, revision))
      else {
        const previous = get(operation.key)
        if (!previous) continue
        remove.run(operation.key)
        events.push({ type: 'delete', key: operation.key, revision, previous })
      }
    }
    if (events.length === 0) return { type: 'committed', revision: head, events }
    for (const [position, event] of events.entries()) recordChange(revision, position, event)
    head = revision
    return { type: 'committed', revision, events }
  }

  function recordChange(revision: number, position: number, event: StoreEvent): void {
    const { previous } = event
    const entry = event.type === 'put' ? event.entry : undefined
    insertChange.run(
      revision,
      position,
      event.type === 'put' ? event.entry.key : event.key,
      entry?.value ?? null,
      (entry ?? event.previous!).createRevision,
      previous?.value ?? null,
      previous?.modRevision ?? null,
    )
  }

  function replaceAll({ entries, aboveRevision }: Extract<Request, { type: 'replaceAll' }>): Reply {
    head = floor = Math.max(head, aboveRevision) + historyGap
    database.exec('DELETE FROM entries; DELETE FROM changes')
    for (const { key, value } of entries) upsert.run(key, value, head, head)
    return { type: 'replaced', revision: head }
  }

  function changesAfter(prefix: StoreKey, afterRevision: number): Changes {
    const keys = keyRange(prefix)
    const rows: ChangeRow[] = []
    let bytes = 0
    for (const found of selectChanges.iterate(afterRevision, ...keys)) {
      const row = found as unknown as ChangeRow
      rows.push(row)
      bytes += sizeOfRow(row)
      if (bytes > changeBytesPerRead) break
    }
    const whole = wholeTransactions(rows, head)
    if (whole) return whole
    const { revision } = rows[0]!
    const alone = selectRevision.all(revision, ...keys) as unknown as ChangeRow[]
    return { events: alone.map(toEvent), revision }
  }

  function read({ type, prefix, range }: Extract<Request, { type: 'list' | 'count' }>): Reply {
    const { after, limit = -2, maxBytes = Infinity, atRevision: at = head } = range
    if (at < floor || at > head) return { type: 'gone' }
    const [from, to] = keyRange(prefix, after)
    if (type === 'count') {
      const { count } = countRange.get({ from, to, at }) as { count: number }
      return { type: 'counted', count }
    }
    // One beyond the limit shows that there are more; without a limit SQLite takes -1.
    const entries: StoreEntry[] = []
    let bytes = 0
    for (const found of selectRange.iterate({ from, to, at, limit: limit + 1 })) {
      const row = found as unknown as Row
      bytes += row.value.length
      if (entries.length === limit || (bytes > maxBytes && entries.length > 0)) {
        return { type: 'entries', entries, revision: at, more: true }
      }
      entries.push({ ...row })
    }
    return { type: 'entries', entries, revision: at, more: false }
  }

  function answer(request: Request): Reply {
    switch (request.type) {
      case 'get':
        return { type: 'entry', entry: get(request.key) }
      case 'list':
      case 'count':
        return read(request)
      case 'changes':
        if (request.afterRevision < floor) return { type: 'gone' }
        return { type: 'changes', changes: changesAfter(request.prefix, request.afterRevision) }
      case 'replaceAll':
        return replaceAll(request)
      default:
        return transact(request)
    }
  }

  return {
    get revision() {
      return head
    },
    execute(requests) {
      const before = { head, floor }
      try {
        database.exec('BEGIN')
        const replies = requests.map(answer)
        if (head !== before.head) {
          // Compacted in chunks: one range delete for every `keepRevisions` revisions.
          if (head - floor >= 2 * keepRevisions) {
            floor = head - keepRevisions
            compact.run(floor)
          }
          saveCounters.run(head, floor)
        }
        database.exec('COMMIT')
        return replies
      } catch (error) {
        ;({ head, floor } = before)
        if (database.isTransaction) database.exec('ROLLBACK')
        throw describeFailure(path, error)
      }
    },
    close: () => database.close(),
  }
}
