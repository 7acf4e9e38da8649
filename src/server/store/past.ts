import { eventKey, revisionGone } from './change-feed.ts'
import type { Store, StoreEntry, StoreKey } from './ports.ts'

/**
 * Entries under `prefix` as they were at an earlier revision: those of now, with what has changed since taken back.
 * @throws Fault STORE_REVISION_GONE when those changes are no longer kept, or are yet to come
 */
export async function listAt(
  store: Store,
  prefix: StoreKey,
  atRevision: number,
): Promise<{ entries: readonly StoreEntry[]; revision: number }> {
  const present = await store.list(prefix)
  if (present.revision === atRevision) return present
  if (present.revision < atRevision) throw revisionGone(atRevision)
  const entries = new Map(present.entries.map((entry) => [entry.key, entry]))
  const restored = new Set<StoreKey>()
  const { signal } = new AbortController()
  const changes = store.watch(prefix, {
    afterRevision: atRevision,
    untilRevision: present.revision,
    signal,
  })
  for await (const events of changes) {
    for (const event of events) {
      const key = eventKey(event)
      // What was there before the first change is what was there then.
      if (restored.has(key)) continue
      restored.add(key)
      if (event.previous) entries.set(key, event.previous)
      else entries.delete(key)
    }
  }
  const ordered = [...entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  return { entries: ordered, revision: atRevision }
}

/** Lists as they were, of those moments at which somebody is still reading. */
export interface Past {
  /** As `listAt`, at once for a list that is kept. */
  listAt(prefix: StoreKey, atRevision: number): ReturnType<typeof listAt>
  /** Keeps a list for the parts of it that are yet to be asked for. */
  keep(prefix: StoreKey, revision: number, entries: readonly StoreEntry[]): void
}

/** Keeps at most `maxEntries` in all; the list that was asked for longest ago goes first, and is then made anew. */
export function openPast(store: Store, { maxEntries }: { maxEntries: number }): Past {
  const kept = new Map<string, readonly StoreEntry[]>()
  const nameOf = (prefix: StoreKey, revision: number) => `${revision}@${prefix}`
  let total = 0

  function drop(name: string): void {
    total -= kept.get(name)?.length ?? 0
    kept.delete(name)
  }
  return {
    async listAt(prefix, atRevision) {
      const entries = kept.get(nameOf(prefix, atRevision))
      return entries ? { entries, revision: atRevision } : listAt(store, prefix, atRevision)
    },
    keep(prefix, revision, entries) {
      const name = nameOf(prefix, revision)
      drop(name)
      if (entries.length > maxEntries) return
      kept.set(name, entries)
      total += entries.length
      for (const oldest of kept.keys()) {
        if (total <= maxEntries) return
        drop(oldest)
      }
    },
  }
}
