import { isFault } from '#base/errors'
import type { Kind, Resource, ResourceOf } from '#model/resource'
import type { ResourceEvent, Resources } from './resources.ts'

/**
 * All objects in memory, following the store: for those who look at many objects often and must not wait.
 * What it gives must not be changed.
 */
export interface ResourceCache extends AsyncDisposable {
  get<K extends Kind>(kind: K, namespace: string, name: string): ResourceOf<K> | undefined
  /** In order of namespace and name. */
  list<K extends Kind>(kind: K, namespace?: string): readonly ResourceOf<K>[]
  /** Revision up to which it is complete. */
  readonly resourceVersion: string
  /** Calls `listener` after each batch of changes has taken effect here; returns what stops that. */
  onChange(listener: (events: readonly ResourceEvent[]) => void): () => void
  /** Settles when the cache follows no more: resolves when it was closed, rejects when the store failed. */
  readonly done: Promise<void>
}

const keyOf = (namespace = '', name: string) => `${namespace}/${name}`

/** Opens the cache once it holds everything there is. */
export async function openResourceCache(resources: Resources): Promise<ResourceCache> {
  const kinds = new Map<string, Map<string, Resource>>()
  const listeners = new Set<(events: readonly ResourceEvent[]) => void>()
  const stop = new AbortController()
  let resourceVersion = '0'

  function apply({ type, object }: ResourceEvent): void {
    const objects = kinds.get(object.kind) ?? new Map<string, Resource>()
    kinds.set(object.kind, objects)
    const key = keyOf(object.metadata.namespace, object.metadata.name)
    if (type === 'DELETED') objects.delete(key)
    else objects.set(key, object)
  }

  function advance(events: readonly ResourceEvent[], revision: string): void {
    for (const event of events) apply(event)
    resourceVersion = revision
    if (events.length > 0) for (const listener of listeners) listener(events)
  }

  /** Lists anew, and tells the difference from what was there as events. */
  async function relist(): Promise<void> {
    const listed = await resources.list('all')
    const present = new Map(
      listed.items.map((object) => [
        `${object.kind}/${keyOf(object.metadata.namespace, object.metadata.name)}`,
        object,
      ]),
    )
    const events: ResourceEvent[] = []
    for (const [kind, objects] of kinds) {
      for (const [key, object] of objects) {
        if (!present.has(`${kind}/${key}`)) events.push({ type: 'DELETED', object })
      }
    }
    for (const object of present.values()) {
      const { namespace, name, resourceVersion } = object.metadata
      const previous = kinds.get(object.kind)?.get(keyOf(namespace, name))
      if (!previous) events.push({ type: 'ADDED', object })
      else if (previous.metadata.resourceVersion !== resourceVersion) {
        events.push({ type: 'MODIFIED', object, previous })
      }
    }
    advance(events, listed.resourceVersion)
  }

  async function follow(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        for await (const events of resources.watch('all', {
          fromRevision: resourceVersion,
          signal: stop.signal,
        })) {
          advance(events, events.at(-1)!.object.metadata.resourceVersion)
        }
      } catch (error) {
        if (!isFault(error, 'STORE_REVISION_GONE')) throw error
        await relist()
      }
    }
  }

  await relist()
  const done = follow()
  // Whoever cares awaits `done`; nobody has to.
  done.catch(() => {})
  return {
    get<K extends Kind>(kind: K, namespace: string, name: string) {
      return kinds.get(kind)?.get(keyOf(namespace, name)) as ResourceOf<K> | undefined
    },
    list<K extends Kind>(kind: K, namespace?: string) {
      const objects = [...(kinds.get(kind) ?? [])]
        .filter(([, { metadata }]) => namespace === undefined || metadata.namespace === namespace)
        .sort(([a], [b]) => (a < b ? -1 : 1))
      return objects.map(([, object]) => object as ResourceOf<K>)
    },
    get resourceVersion() {
      return resourceVersion
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    done,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}
