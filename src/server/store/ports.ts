/**
 * How far revisions jump where some may have been lost that were seen (docs/decisions/0010): more than are written
 * between a backup and its restore, and a millionth of what there is.
 */
export const historyGap = 1_000_000_000

/** Below it lies what servers say of themselves while they run: no part of a backup. */
export const runtimePrefix = '/run/'

/** A key of the store, without control characters, such as `/registry/core.riptides.io/services/riptides-system/aws`. */
export type StoreKey = string

export interface StoreEntry {
  readonly key: StoreKey
  readonly value: Uint8Array
  /** Revision of the transaction that wrote it last. */
  readonly modRevision: number
  readonly createRevision: number
}

export type StoreOperation =
  | { readonly type: 'put'; readonly key: StoreKey; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: StoreKey }

/** Holds when the key's modRevision equals `modRevision` (0: the key does not exist). */
export interface StoreCompare {
  readonly key: StoreKey
  readonly modRevision: number
}

export type StoreEvent =
  | { readonly type: 'put'; readonly entry: StoreEntry; readonly previous?: StoreEntry }
  | {
      readonly type: 'delete'
      readonly key: StoreKey
      readonly revision: number
      readonly previous: StoreEntry
    }

/** Which entries of a prefix are meant, and of when. */
export interface StoreRange {
  /** Those whose key comes after this one. */
  readonly after?: StoreKey | undefined
  /** So many of them at most. */
  readonly limit?: number | undefined
  /** So many bytes of values at most, or one entry. */
  readonly maxBytes?: number | undefined
  /** As they were at this revision; as they are unless given. */
  readonly atRevision?: number | undefined
}

/**
 * An ordered, revisioned key-value store: the one contract under everything the control plane keeps.
 * Every committed transaction has a revision, one above the last; a returned write is on disk.
 */
export interface Store extends AsyncDisposable {
  get(key: StoreKey): Promise<StoreEntry | undefined>
  /**
   * Entries whose key starts with `prefix`, in key order, with the revision they are of, and whether there are `more`
   * than the limits let through. @throws Fault STORE_REVISION_GONE when that revision is no longer known, or is yet to come
   */
  list(
    prefix: StoreKey,
    range?: StoreRange,
  ): Promise<{ entries: readonly StoreEntry[]; revision: number; more: boolean }>
  /** How many entries `list` would give. @throws Fault as `list` */
  count(prefix: StoreKey, range?: Omit<StoreRange, 'limit' | 'maxBytes'>): Promise<number>
  /** All compares hold: all operations are applied atomically. Else nothing is, and `conflict` names the first key. */
  transaction(
    compares: readonly StoreCompare[],
    operations: readonly StoreOperation[],
  ): Promise<{ ok: true; revision: number } | { ok: false; conflict: StoreKey }>
  /**
   * Puts `entries` in the place of all there is, as one transaction whose revision is far above every one that was
   * given before, here or (`aboveRevision`) in the store they come from: watches from before it are no longer served.
   */
  replaceAll(
    entries: readonly { readonly key: StoreKey; readonly value: Uint8Array }[],
    options: { aboveRevision: number },
  ): Promise<{ revision: number }>
  /**
   * Events under `prefix` with a revision above `afterRevision`, in order, none missing or doubled; ends on abort.
   * With `untilRevision` it ends once all events up to that have been given, perhaps with some later ones;
   * `onProgress` is told up to which revision all have been taken.
   * @throws Fault STORE_REVISION_GONE when those revisions are no longer kept.
   */
  watch(
    prefix: StoreKey,
    options: {
      afterRevision: number
      signal: AbortSignal
      untilRevision?: number
      onProgress?: ((revision: number) => void) | undefined
    },
  ): AsyncIterable<readonly StoreEvent[]>
}
