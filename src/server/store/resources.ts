import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '#base/clock'
import { Secret } from '#base/secret'
import type { Draft, JoinToken, Kind, Resource, ResourceOf, StatusOf } from '#model/resource'
import { isBeingDeleted } from './deletion.ts'
import { readAll, readPages } from './pages.ts'
import type { Store, StoreEntry, StoreEvent } from './ports.ts'
import { parseRevision } from './resource-object.ts'
import {
  decodeRecord,
  hashToken,
  kindPrefix,
  openData,
  registryPrefix,
  loadRecord,
  type Sealer,
} from './resource-record.ts'
import type { Patch } from './patch.ts'
import type { Admission, DeleteOptions, WriteOptions } from './write-options.ts'
import { openWrites } from './writes.ts'

export interface ResourceEvent<K extends Kind = Kind> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** As it is now, or as it was when deleted, with the deletion's revision. */
  readonly object: ResourceOf<K>
  readonly previous?: ResourceOf<K>
}

/** One object of a scan. */
export interface ScannedObject<K extends Kind = Kind> {
  /** Where it stands in the order of the scan: its namespace, if it has one, and name. */
  readonly position: string
  /** Reads it, which takes longer than to pass it by. */
  read(): ResourceOf<K>
}

/** Which objects of a kind are scanned. */
export interface ScannedPart {
  /** All of them unless given. */
  readonly namespace?: string | undefined
  readonly atRevision?: string | undefined
  /** Those behind this position. */
  readonly after?: string | undefined
}

export interface ScannedPage<K extends Kind = Kind> {
  readonly objects: readonly ScannedObject<K>[]
  readonly resourceVersion: string
  /** Whether another page follows. */
  readonly more: boolean
}

/**
 * The objects of the resource kinds; the namespace of those that lie in none is ''. Write-only fields (a join token,
 * the values of a Secret) are never in what is returned. Namespaces come into being by being used. Who owns which
 * field is in `metadata.managedFields`, but not in lists and watches of all kinds, which are for those who hold
 * everything in memory.
 */
export interface Resources {
  get<K extends Kind>(kind: K, namespace: string, name: string): Promise<ResourceOf<K> | undefined>
  /** Objects of one kind or all, of one namespace or all, with the revision from which to watch on. */
  list<K extends Kind>(
    kind: K | 'all',
    namespace?: string,
  ): Promise<{ items: ResourceOf<K>[]; resourceVersion: string }>
  /**
   * Objects of one kind in the order of their positions, page by page, all of one moment: the present, or that of an
   * earlier revision.
   * @throws Fault STORE_REVISION_GONE when that revision is no longer known, or is yet to come
   */
  scan<K extends Kind>(kind: K, part: ScannedPart): AsyncIterable<ScannedPage<K>>
  /** How many objects `scan` would give. @throws Fault as `scan` */
  count(kind: Kind, part: ScannedPart): Promise<number>
  /** @throws Fault RESOURCE_INVALID, RESOURCE_EXISTS, RESOURCE_TOO_LARGE, or what an admission throws */
  create<K extends Kind>(draft: Draft<ResourceOf<K>>, options?: WriteOptions): Promise<ResourceOf<K>>
  /**
   * Replaces all but the status, or with `subresource` the status alone. A draft with a resourceVersion or uid must name the present ones; nothing is
   * written when nothing changes.
   * @throws Fault RESOURCE_INVALID, RESOURCE_NOT_FOUND, RESOURCE_CONFLICT, RESOURCE_TOO_LARGE, or what an admission throws
   */
  update<K extends Kind>(draft: Draft<ResourceOf<K>>, options?: WriteOptions): Promise<ResourceOf<K>>
  /**
   * Changes all but the status, or with `subresource` the status alone. Faults as `update`, and RESOURCE_INVALID
   * when the patch does not fit.
   */
  patch<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    patch: Patch,
    options?: WriteOptions,
  ): Promise<ResourceOf<K>>
  /**
   * Server-side apply: the object says what the draft says, and no more what the same field manager applied before
   * and nobody else owns. Creates the object when there is none.
   * @throws Fault as `update`, and RESOURCE_CONFLICT with its field conflicts, unless `force`
   */
  apply<K extends Kind>(
    draft: Draft<ResourceOf<K>>,
    options?: WriteOptions & { force?: boolean },
  ): Promise<{ object: ResourceOf<K>; created: boolean }>
  /**
   * Sets the status, given or computed from the present object (again, when it changed meanwhile); nothing is
   * written when nothing changes.
   * @throws Fault RESOURCE_NOT_FOUND, RESOURCE_INVALID
   */
  updateStatus<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    status: StatusOf<K> | ((current: ResourceOf<K>) => StatusOf<K>),
  ): Promise<ResourceOf<K>>
  /**
   * Deletes the object, or begins to while finalizers keep it; then it has a deletionTimestamp and goes with its
   * last finalizer. Returns the object as it was, or as it is now.
   * @throws Fault RESOURCE_NOT_FOUND, RESOURCE_CONFLICT
   */
  delete<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    conditions?: DeleteOptions,
    options?: WriteOptions,
  ): Promise<ResourceOf<K>>
  /**
   * Changes after `fromRevision`, in order; ends on abort. All who watch are given the same events, which must not be
   * changed. @throws Fault STORE_REVISION_GONE, STORE_UNAVAILABLE
   */
  watch<K extends Kind>(
    kind: K | 'all',
    options: {
      fromRevision: string
      namespace?: string | undefined
      signal: AbortSignal
      /** Is told up to which revision all changes have been taken, also when there are none here. */
      onProgress?: (resourceVersion: string) => void
    },
  ): AsyncIterable<readonly ResourceEvent<K>[]>
  /** The join token object that `token` belongs to, whether expired or not. */
  matchJoinToken(token: Secret): Promise<JoinToken | undefined>
  /** The values of a Secret object by key. */
  secretData(namespace: string, name: string): Promise<ReadonlyMap<string, Secret> | undefined>
}

/** Opens the objects in `store`. `random` gives random bytes; `admissions` are asked in order before each write. */
export function openResources(
  store: Store,
  {
    clock,
    random,
    sealer,
    admissions = [],
  }: {
    clock: Clock
    random: (bytes: number) => Uint8Array
    sealer: Sealer
    admissions?: readonly Admission[]
  },
): Resources {
  const writes = openWrites(store, { clock, random, sealer, admissions })

  function readEvent(event: StoreEvent): ResourceEvent {
    if (event.type === 'delete') {
      return { type: 'DELETED', object: decodeRecord(event.previous, event.revision).object }
    }
    const { object } = decodeRecord(event.entry)
    if (!event.previous) return { type: 'ADDED', object }
    return { type: 'MODIFIED', object, previous: decodeRecord(event.previous).object }
  }

  // A change is read once for all who watch it.
  const read = new WeakMap<StoreEvent, ResourceEvent>()
  function toEvent(event: StoreEvent): ResourceEvent {
    const known = read.get(event) ?? readEvent(event)
    read.set(event, known)
    return known
  }

  const lean = (event: ResourceEvent): ResourceEvent => ({
    ...event,
    object: withoutManagers(event.object),
    ...(event.previous && { previous: withoutManagers(event.previous) }),
  })

  function rangeOf(kind: Kind, { after, atRevision }: ScannedPart) {
    return {
      after: after && kindPrefix(kind) + after,
      atRevision: atRevision === undefined ? undefined : parseRevision(atRevision),
    }
  }

  const untyped = {
    async get(kind: Kind, namespace: string, name: string) {
      return (await loadRecord(store, kind, namespace, name))?.object
    },
    async list(kind: Kind | 'all', namespace?: string) {
      const prefix = kind === 'all' ? registryPrefix : kindPrefix(kind, namespace)
      const decode = (entry: StoreEntry) => decodeRecord(entry).object
      const read = kind === 'all' ? (entry: StoreEntry) => withoutManagers(decode(entry)) : decode
      const { items, revision } = await readAll(store, prefix, read)
      return {
        items:
          namespace === undefined ? items : items.filter(({ metadata }) => metadata.namespace === namespace),
        resourceVersion: String(revision),
      }
    },
    async *scan(kind: Kind, part: ScannedPart) {
      const from = kindPrefix(kind).length
      const pages = readPages(store, kindPrefix(kind, part.namespace), rangeOf(kind, part))
      for await (const { entries, revision, more } of pages) {
        const objects = entries.map((entry) => ({
          position: entry.key.slice(from),
          read: () => decodeRecord(entry).object,
        }))
        yield { objects, resourceVersion: String(revision), more }
      }
    },
    count: (kind: Kind, part: ScannedPart) =>
      store.count(kindPrefix(kind, part.namespace), rangeOf(kind, part)),
    ...writes,
    async *watch(
      kind: Kind | 'all',
      {
        fromRevision,
        namespace,
        signal,
        onProgress,
      }: {
        fromRevision: string
        namespace?: string
        signal: AbortSignal
        onProgress?: (resourceVersion: string) => void
      },
    ) {
      const prefix = kind === 'all' ? registryPrefix : kindPrefix(kind, namespace)
      for await (const events of store.watch(prefix, {
        afterRevision: parseRevision(fromRevision),
        signal,
        onProgress: onProgress && ((revision) => onProgress(String(revision))),
      })) {
        yield events.map(kind === 'all' ? (event) => lean(toEvent(event)) : toEvent)
      }
    },
    async matchJoinToken(token: Secret) {
      const hash = Buffer.from(hashToken(token))
      const { entries } = await store.list(kindPrefix('JoinToken'))
      const match = entries
        .map((entry) => decodeRecord(entry))
        .find(
          ({ object, hidden }) =>
            // SECURITY: a token is used by deleting it; a finalizer must not make it good for another time.
            !isBeingDeleted(object) &&
            hidden.tokenHash !== undefined &&
            timingSafeEqual(Buffer.from(hidden.tokenHash), hash),
        )
      return match?.object as JoinToken | undefined
    },
    async secretData(namespace: string, name: string) {
      const record = await loadRecord(store, 'Secret', namespace, name)
      if (!record) return undefined
      const data = openData(sealer, record.object.metadata.uid, record.hidden)
      return new Map(Object.entries(data).map(([key, text]) => [key, Secret.of(Buffer.from(text, 'base64'))]))
    },
  }
  // One untyped implementation serves every kind: an object's `kind` says which type it is.
  return untyped as unknown as Resources
}

function withoutManagers(object: Resource): Resource {
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata } as Resource
}
