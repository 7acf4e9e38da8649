import { isFault } from '#base/errors'
import { readAll } from './pages.ts'
import type { Store, StoreEvent, StoreKey } from './ports.ts'

/** What there is (`all`, each entry as a put), or what has changed since. */
export interface Followed {
  readonly all: boolean
  readonly events: readonly StoreEvent[]
}

/**
 * Everything under `prefix`, then what changes, until `signal` aborts; everything anew whenever changes were missed.
 * @throws Fault STORE_UNAVAILABLE
 */
export async function* followEntries(
  store: Pick<Store, 'list' | 'watch'>,
  prefix: StoreKey,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Followed> {
  while (!signal.aborted) {
    const { items, revision } = await readAll(store, prefix, (entry) => ({ type: 'put', entry }) as const)
    yield { all: true, events: items }
    try {
      for await (const events of store.watch(prefix, { afterRevision: revision, signal }))
        yield { all: false, events }
    } catch (error) {
      if (!isFault(error, 'STORE_REVISION_GONE')) throw error
    }
  }
}
