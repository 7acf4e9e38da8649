import { isFault } from '#base/errors'
import type { Store, StoreEntry, StoreKey, StoreRange } from './ports.ts'

/** What is read at a time: some milliseconds of work, after which others have their turn. */
const pageSize = 200
/** Whoever reads slowly holds one page, and there may be a thousand such. */
const pageBytes = 256 * 1024
/** Beyond that the store takes writes faster than it can be read. */
const maxAttempts = 5

/**
 * Entries under `prefix` as `Store.list` gives them, page by page, all as they are at one moment.
 * @throws Fault STORE_REVISION_GONE also when so much is written meanwhile that the moment is no longer known
 */
export async function* readPages(
  store: Pick<Store, 'list'>,
  prefix: StoreKey,
  range: Omit<StoreRange, 'limit'> = {},
): AsyncGenerator<Awaited<ReturnType<Store['list']>>> {
  for (let { after, atRevision } = range; ;) {
    const page = await store.list(prefix, { after, atRevision, limit: pageSize, maxBytes: pageBytes })
    yield page
    if (!page.more) return
    after = page.entries.at(-1)!.key
    atRevision = page.revision
  }
}

/** All entries under `prefix` at one moment, each as `read` makes it of them. */
export async function readAll<T>(
  store: Pick<Store, 'list'>,
  prefix: StoreKey,
  read: (entry: StoreEntry) => T,
): Promise<{ items: T[]; revision: number }> {
  for (let attempt = 1; ; attempt++) {
    const items: T[] = []
    try {
      for await (const { entries, revision, more } of readPages(store, prefix)) {
        for (const entry of entries) items.push(read(entry))
        if (!more) return { items, revision }
      }
    } catch (error) {
      if (attempt === maxAttempts || !isFault(error, 'STORE_REVISION_GONE')) throw error
    }
  }
}
