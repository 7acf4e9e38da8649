import { isFault } from '#base/errors'
import type { Kind, Resource, ResourceOf } from '#model/resource'
import type { ResourceEvent, Resources } from './resources.ts'

/** Kinds whose objects have a workload ID. */
type WorkloadKind = 'WorkloadIdentity' | 'CredentialBinding' | 'Daemon'

/**
 * All objects in memory, following the store: for those who look at many objects often and must not wait.
 * What it gives must not be changed.
 */
export interface ResourceCache extends AsyncDisposable {
  get<K extends Kind>(kind: K, namespace: string, name: string): ResourceOf<K> | undefined
  /** In order of namespace and name. */
  list<K extends Kind>(kind: K, namespace?: string): readonly ResourceOf<K>[]
  /** Those with a workload ID, in no order. */
  ofWorkload<K extends WorkloadKind>(kind: K, workloadId: string): readonly ResourceOf<K>[]
  /** Revision up to which it is complete. */
  readonly resourceVersion: string
  /** Calls `listener` after each batch of changes has taken effect here; returns what stops that. */
  onChange(listener: (events: readonly ResourceEvent[]) => void): () => void
  /** Settles when the cache follows no more: resolves when it was closed, rejects when the store failed. */
  readonly done: Promise<void>
}

const keyOf = (namespace = '', name: string) => `${namespace}/${name}`

/** What there is of one kind. */
interface Shelf {
  readonly objects: Map<string, Resource>
  /** Keys in order; absent when one came or went since they were last asked for. */
  sorted?: readonly string[] | undefined
  /** Keys by workload ID: one, mostly, for which a Set would take five times the room. */
  readonly workloads: Map<string, readonly string[]>
}

function workloadOf(object: Resource): string | undefined {
  switch (object.kind) {
    case 'WorkloadIdentity':
    case 'CredentialBinding':
    case 'Daemon':
      return object.spec.workloadID
    default:
      return undefined
  }
}

/** Opens the cache once it holds everything there is. */
export async function openResourceCache(resources: Resources): Promise<ResourceCache> {
  const kinds = new Map<string, Shelf>()
  const listeners = new Set<(events: readonly ResourceEvent[]) => void>()
  const stop = new AbortController()
  let resourceVersion = '0'

  function shelfOf(kind: string): Shelf {
    const known = kinds.get(kind)
    if (known) return known
    const shelf = { objects: new Map<string, Resource>(), workloads: new Map<string, readonly string[]>() }
    kinds.set(kind, shelf)
    return shelf
  }

  function apply({ type, object }: ResourceEvent): void {
    const shelf = shelfOf(object.kind)
    const { objects, workloads } = shelf
    const key = keyOf(object.metadata.namespace, object.metadata.name)
    const before = objects.get(key)
    const workloadBefore = before && workloadOf(before)
    if (workloadBefore !== undefined) {
      const others = workloads.get(workloadBefore)!.filter((one) => one !== key)
      if (others.length > 0) workloads.set(workloadBefore, others)
      else workloads.delete(workloadBefore)
    }
    if (type === 'DELETED') objects.delete(key)
    else {
      objects.set(key, object)
      const workload = workloadOf(object)
      if (workload !== undefined) workloads.set(workload, [...(workloads.get(workload) ?? []), key])
    }
    if (objects.has(key) !== (before !== undefined)) shelf.sorted = undefined
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
    for (const [kind, { objects }] of kinds) {
      for (const [key, object] of objects) {
        if (!present.has(`${kind}/${key}`)) events.push({ type: 'DELETED', object })
      }
    }
    for (const object of present.values()) {
      const { namespace, name, resourceVersion } = object.metadata
      const previous = kinds.get(object.kind)?.objects.get(keyOf(namespace, name))
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
      return kinds.get(kind)?.objects.get(keyOf(namespace, name)) as ResourceOf<K> | undefined
    },
    list<K extends Kind>(kind: K, namespace?: string) {
      const shelf = shelfOf(kind)
      shelf.sorted ??= [...shelf.objects.keys()].sort()
      const all = shelf.sorted.map((key) => shelf.objects.get(key) as ResourceOf<K>)
      return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace)
    },
    ofWorkload<K extends WorkloadKind>(kind: K, workloadId: string) {
      const { objects, workloads } = shelfOf(kind)
      return (workloads.get(workloadId) ?? []).map((key) => objects.get(key) as ResourceOf<K>)
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
