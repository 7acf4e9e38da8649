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
