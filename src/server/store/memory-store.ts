import { eventKey, openChangeFeed, revisionGone, storeClosed } from './change-feed.ts'
import {
  historyGap,
  type Store,
  type StoreEntry,
  type StoreEvent,
  type StoreKey,
  type StoreRange,
} from './ports.ts'

/** A store that forgets everything at the end: for tests. Keeps changes of at least `keepRevisions` revisions. */
export function openMemoryStore({ keepRevisions = 1000 }: { keepRevisions?: number } = {}): Store {
  const entries = new Map<StoreKey, StoreEntry>()
  const feed = openChangeFeed({
    revision: 0,
    keep: keepRevisions,
    older: (_, afterRevision) => Promise.reject(revisionGone(afterRevision)),
  })
  let closed = false
  const checkOpen = () => {
    if (closed) throw storeClosed()
  }

  /** Those of now, with what has changed since taken back. */
  async function select(prefix: StoreKey, { after = '', atRevision = feed.revision }: StoreRange) {
    checkOpen()
    if (atRevision > feed.revision) throw revisionGone(atRevision)
    const found = new Map([...entries].filter(([key]) => key.startsWith(prefix)))
    const undone = new Set<StoreKey>()
    const { signal } = new AbortController()
    const changes = feed.watch(prefix, {
      afterRevision: atRevision,
      untilRevision: feed.revision,
      signal,
    })
    for await (const events of changes) {
      for (const event of events) {
        const key = eventKey(event)
        // What was there before the first change is what was there then.
        if (undone.has(key)) continue
        undone.add(key)
        if (event.previous) found.set(key, event.previous)
        else found.delete(key)
      }
    }
    const selected = [...found.values()].filter(({ key }) => key > after)
    return { selected: selected.sort((a, b) => (a.key < b.key ? -1 : 1)), revision: atRevision }
  }

  return {
    async get(key) {
      checkOpen()
      return entries.get(key)
    },
    async list(prefix, range = {}) {
      const { limit = Infinity, maxBytes = Infinity } = range
      const { selected, revision } = await select(prefix, range)
      let bytes = 0
      const beyond = selected.findIndex(
        ({ value }, index) => index === limit || ((bytes += value.length) > maxBytes && index > 0),
      )
      const entries = beyond === -1 ? selected : selected.slice(0, beyond)
      return { entries, revision, more: entries.length < selected.length }
    },
    async count(prefix, range = {}) {
      return (await select(prefix, range)).selected.length
    },
    async transaction(compares, operations) {
      checkOpen()
      const broken = compares.find(
        ({ key, modRevision }) => (entries.get(key)?.modRevision ?? 0) !== modRevision,
      )
      if (broken) return { ok: false, conflict: broken.key }
      const revision = feed.revision + 1
      const events: StoreEvent[] = []
      for (const operation of operations) {
        const { key } = operation
        const previous = entries.get(key)
        if (operation.type === 'put') {
          const entry: StoreEntry = {
            key,
            value: Uint8Array.from(operation.value),
            modRevision: revision,
            createRevision: previous?.createRevision ?? revision,
          }
          entries.set(key, entry)
          events.push({ type: 'put', entry, ...(previous && { previous }) })
        } else if (previous) {
          entries.delete(key)
          events.push({ type: 'delete', key, revision, previous })
        }
      }
      if (events.length === 0) return { ok: true, revision: feed.revision }
      feed.append(revision, events)
      return { ok: true, revision }
    },
    async replaceAll(replacement, { aboveRevision }) {
      checkOpen()
      const revision = Math.max(feed.revision, aboveRevision) + historyGap
      entries.clear()
      for (const { key, value } of replacement) {
        entries.set(key, {
          key,
          value: Uint8Array.from(value),
          modRevision: revision,
          createRevision: revision,
        })
      }
      feed.skip(revision)
      return { revision }
    },
    watch: feed.watch,
    async [Symbol.asyncDispose]() {
      closed = true
      feed.close()
    },
  }
}
