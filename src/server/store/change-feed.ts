import { Fault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import type { Store, StoreEntry, StoreEvent, StoreKey } from './ports.ts'

/** So many revisions are given to a watch at a time: one that is read slowly holds no more of them. */
const revisionsPerBatch = 100
/** Of values in memory; watches that are further back ask `older`. */
const maxRecentBytes = 64 * 1024 * 1024

/** Events after a revision, with the revision up to which they are complete. */
export interface Changes {
  readonly events: readonly StoreEvent[]
  readonly revision: number
}

/** The recent events of a store in memory, from which watches are served. */
export interface ChangeFeed {
  /** Revision of the newest change. */
  readonly revision: number
  append(revision: number, events: readonly StoreEvent[]): void
  /** The changes up to `revision` are not known here: watches that have not seen them ask `older`. */
  skip(revision: number): void
  watch: Store['watch']
  /** Ends every watch with Fault STORE_UNAVAILABLE. */
  close(): void
}

export function revisionGone(afterRevision: number): Fault {
  return new Fault('STORE_REVISION_GONE', `changes after revision ${afterRevision} are no longer kept`)
}

export function storeClosed(): Fault {
  return new Fault('STORE_UNAVAILABLE', 'the store is closed')
}

/** The key that an event is about. */
export function eventKey(event: StoreEvent): StoreKey {
  return event.type === 'put' ? event.entry.key : event.key
}

const bytesOf = (entry: StoreEntry | undefined) => entry?.value.length ?? 0

function sizeOf(events: readonly StoreEvent[]): number {
  const sizes = events.map(
    (event) => bytesOf(event.previous) + (event.type === 'put' ? bytesOf(event.entry) : 0),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/**
 * Keeps the events of the newest `keep` revisions, or of fewer where they are large. Watches that start further back
 * are answered by `older`, which throws STORE_REVISION_GONE when it does not have them either.
 */
export function openChangeFeed({
  revision: startRevision,
  keep,
  older,
}: {
  revision: number
  keep: number
  older: (prefix: StoreKey, afterRevision: number) => Promise<Changes>
}): ChangeFeed {
  const bell = openBell()
  let recent: Changes[] = []
  let recentBytes = 0
  /** Every change above this revision is in `recent`. */
  let floor = startRevision
  let head = startRevision
  let closed = false

  function recentAfter(prefix: StoreKey, afterRevision: number): Changes {
    // Revisions in `recent` are consecutive, so that the index follows from the revision.
    const from = afterRevision - floor
    const part = recent.slice(from, from + revisionsPerBatch)
    const events = part.flatMap(({ events }) => events).filter((event) => eventKey(event).startsWith(prefix))
    return { events, revision: part.at(-1)?.revision ?? head }
  }

  return {
    get revision() {
      return head
    },
    append(revision, events) {
      recent.push({ events, revision })
      head = revision
      recentBytes += sizeOf(events)
      // Trimmed in chunks: one copy for every `keep` appends, unless they are large.
      if (recent.length >= 2 * keep || recentBytes > maxRecentBytes) {
        let from = 0
        while (recent.length - from > keep || recentBytes > maxRecentBytes / 2)
          recentBytes -= sizeOf(recent[from++]!.events)
        recent = recent.slice(from)
        floor = head - recent.length
      }
      bell.ring()
    },
    skip(revision) {
      recent = []
      recentBytes = 0
      head = floor = revision
      bell.ring()
    },
    async *watch(prefix, { afterRevision, signal, untilRevision = Infinity, onProgress }) {
      // A revision from another history, such as before a restore: the watcher must list anew.
      if (afterRevision > head) throw revisionGone(afterRevision)
      let seen = afterRevision
      while (!signal.aborted) {
        if (closed) throw storeClosed()
        const { rings } = bell
        const { events, revision } = seen < floor ? await older(prefix, seen) : recentAfter(prefix, seen)
        const behind = revision < head
        seen = revision
        if (events.length > 0) yield events
        onProgress?.(seen)
        if (seen >= untilRevision) return
        if (events.length === 0 && !behind) await bell.after(rings, signal)
      }
    },
    close() {
      closed = true
      bell.ring()
    },
  }
}
