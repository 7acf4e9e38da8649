import type { Changes } from './change-feed.ts'
import type { StoreEntry, StoreEvent } from './ports.ts'

/**
 * What one answer to a watch that lags holds at most, in rows, and in bytes of values before the last row; a
 * transaction is never split. Each such watch holds an answer of its own until its client has read it.
 */
export const changesPerRead = 1000
export const changeBytesPerRead = 256 * 1024

/** One event as the change log has it. */
export interface ChangeRow {
  readonly revision: number
  readonly key: string
  /** Null for a deletion. */
  readonly value: Uint8Array | null
  readonly createRevision: number
  /** Both null for a creation. */
  readonly previousValue: Uint8Array | null
  readonly previousModRevision: number | null
}

export function toEvent(row: ChangeRow): StoreEvent {
  const { revision, key, value, createRevision, previousValue, previousModRevision } = row
  const previous: StoreEntry | undefined =
    previousValue === null
      ? undefined
      : { key, value: previousValue, modRevision: previousModRevision!, createRevision }
  if (value === null) return { type: 'delete', key, revision, previous: previous! }
  return {
    type: 'put',
    entry: { key, value, modRevision: revision, createRevision },
    ...(previous && { previous }),
  }
}

/** In bytes of values. */
export const sizeOfRow = ({ value, previousValue }: ChangeRow): number =>
  (value?.length ?? 0) + (previousValue?.length ?? 0)

/**
 * The whole transactions in the first rows after some revision, as many as one answer holds, of a log whose newest is
 * `head`. `undefined`: the first one is longer than that, and must be read alone.
 */
export function wholeTransactions(rows: readonly ChangeRow[], head: number): Changes | undefined {
  const bytes = rows.reduce((sum, row) => sum + sizeOfRow(row), 0)
  const isAll = rows.length < changesPerRead && bytes <= changeBytesPerRead
  if (isAll) return { events: rows.map(toEvent), revision: head }
  const last = rows.at(-1)!.revision
  const whole = rows.filter(({ revision }) => revision < last)
  return whole.length === 0 ? undefined : { events: whole.map(toEvent), revision: last - 1 }
}
