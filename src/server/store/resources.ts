import { timingSafeEqual } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#base/clock'
import { Secret } from '#base/secret'
import type { User } from '#model/access'
import {
  expectResource,
  formatTime,
  invalidResource,
  namespaceOf,
  parseResource,
  resourceWarnings,
  subjectOf,
  withoutNulls,
  type Draft,
  type JoinToken,
  type Kind,
  type Resource,
  type ResourceDraft,
  type ResourceOf,
} from '#model/resource'
import { mergePatch } from './merge-patch.ts'
import { listAt } from './past.ts'
import type { Store, StoreEvent } from './ports.ts'
import {
  conceal,
  decodeRecord,
  encodeRecord,
  hashToken,
  kindPrefix,
  openData,
  registryPrefix,
  resourceKey,
  type ResourceRecord,
  type Sealer,
} from './resource-record.ts'
import {
  alreadyExists,
  complete,
  conflict,
  contentOf,
  formatUuid,
  modified,
  notFound,
  parseRevision,
  withGeneratedName,
} from './resource-object.ts'

export interface ResourceEvent<K extends Kind = Kind> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** As it is now, or as it was when deleted, with the deletion's revision. */
  readonly object: ResourceOf<K>
  readonly previous?: ResourceOf<K>
}

/** A valid write before it happens. */
export interface Review {
  readonly operation: 'create' | 'update' | 'delete'
  /** Without write-only fields. */
  readonly object: Resource
  readonly previous?: Resource
  /** Whether a write-only value changes. */
  readonly concealed?: boolean
  /** Who writes; absent for the server itself. */
  readonly actor?: User
}

/** Looks at a valid write before it happens: returns warnings, or throws a Fault to refuse it. */
export type Admission = (review: Review) => readonly string[] | Promise<readonly string[]>

export interface WriteOptions {
  /** For whom, so that admissions can judge what he may do; absent for the server itself. */
  readonly actor?: User
  /** Is told what would be written once nothing stands against it. */
  readonly observe?: (review: Review) => void
  /** Everything but the write itself. */
  readonly dryRun?: boolean
  /** Is told what the writer should know. */
  readonly warn?: (warning: string) => void
}

/** What must hold of the object that is deleted. */
export interface Preconditions {
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
}

/** One object of a scan. */
export interface ScannedObject<K extends Kind = Kind> {
  /** Where it stands in the order of the scan: its namespace, if it has one, and name. */
  readonly position: string
  /** Reads it, which takes longer than to pass it by. */
  read(): ResourceOf<K>
}

export type StatusOf<K extends Kind> = NonNullable<ResourceOf<K>['status']>

/**
 * The objects of the resource kinds; the namespace of those that lie in none is ''. Write-only fields (a join token, the values of a Secret) are never in what
 * is returned. Namespaces come into being by being used.
 */
export interface Resources {
  get<K extends Kind>(kind: K, namespace: string, name: string): Promise<ResourceOf<K> | undefined>
  /** Objects of one kind or all, of one namespace or all, with the revision from which to watch on. */
  list<K extends Kind>(
    kind: K | 'all',
    namespace?: string,
  ): Promise<{ items: ResourceOf<K>[]; resourceVersion: string }>
  /**
   * Objects of one kind in the order of their positions, those after `after`, as they are or as they were at an
   * earlier revision.
   * @throws Fault STORE_REVISION_GONE when that revision is no longer known, or is yet to come
   */
  scan<K extends Kind>(
    kind: K,
    options: { namespace?: string | undefined; atRevision?: string | undefined; after?: string | undefined },
  ): Promise<{ objects: readonly ScannedObject<K>[]; resourceVersion: string }>
  /** @throws Fault RESOURCE_INVALID, RESOURCE_EXISTS, or what an admission throws */
  create<K extends Kind>(draft: Draft<ResourceOf<K>>, options?: WriteOptions): Promise<ResourceOf<K>>
  /**
   * Replaces all but the status. A draft with a resourceVersion or uid must name the present ones; nothing is
   * written when nothing changes.
   * @throws Fault RESOURCE_INVALID, RESOURCE_NOT_FOUND, RESOURCE_CONFLICT, or what an admission throws
   */
  update<K extends Kind>(draft: Draft<ResourceOf<K>>, options?: WriteOptions): Promise<ResourceOf<K>>
  /** Applies a JSON merge patch (RFC 7396) to all but the status. Faults as `update`. */
  patch<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<ResourceOf<K>>
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
  /** Returns the object as it was. @throws Fault RESOURCE_NOT_FOUND, RESOURCE_CONFLICT */
  delete<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    preconditions?: Preconditions,
    options?: WriteOptions,
  ): Promise<ResourceOf<K>>
  /** Changes after `fromRevision`, in order; ends on abort. @throws Fault STORE_REVISION_GONE, STORE_UNAVAILABLE */
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

// An object that changes this often under a writer who does not mind which version it is: something is wrong.
const maxAttempts = 20

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
  async function load(kind: Kind, namespace: string, name: string): Promise<ResourceRecord | undefined> {
    const entry = await store.get(resourceKey(kind, namespace, name))
    return entry && decodeRecord(entry)
  }

  async function expect(kind: Kind, namespace: string, name: string): Promise<ResourceRecord> {
    const record = await load(kind, namespace, name)
    if (!record) throw notFound(kind, name)
    return record
  }

  async function admit(
    change: Review,
    { actor, warn, observe }: Pick<WriteOptions, 'actor' | 'warn' | 'observe'>,
  ): Promise<void> {
    const review = { ...change, ...(actor && { actor }) }
    for (const admission of admissions) for (const text of await admission(review)) warn?.(text)
    observe?.(review)
  }

  /** Writes a record in place of one of `modRevision`; undefined when that is not what is there. */
  async function put(
    object: Resource,
    hidden: ResourceRecord['hidden'],
    modRevision: number,
  ): Promise<Resource | undefined> {
    const key = resourceKey(object.kind, namespaceOf(object), object.metadata.name)
    const value = encodeRecord(object, hidden)
    const result = await store.transaction([{ key, modRevision }], [{ type: 'put', key, value }])
    if (!result.ok) return undefined
    const metadata = { ...object.metadata, resourceVersion: String(result.revision) }
    return { ...object, metadata } as Resource
  }

  async function create(input: ResourceDraft, options: WriteOptions): Promise<Resource> {
    const { dryRun, warn } = options
    const { draft: valid, definition } = expectResource(withGeneratedName(input, random))
    if (valid.kind === 'JoinToken' && valid.spec.token === undefined) {
      throw invalidResource(subjectOf(definition, valid.metadata.name), [
        { reason: 'FieldValueRequired', field: 'spec.token', message: 'Required value' },
      ])
    }
    const uid = formatUuid(random(16))
    const { draft, hidden } = conceal(valid, uid, {}, sealer)
    const object = complete(draft, {
      uid,
      namespace: namespaceOf(draft) || undefined,
      generation: 1,
      creationTimestamp: formatTime(clock.now()).replace(/\.\d+Z$/, 'Z'),
      resourceVersion: '',
    })
    for (const text of resourceWarnings(object)) warn?.(text)
    await admit({ operation: 'create', object }, options)
    const { name } = object.metadata
    if (dryRun) {
      if (await load(object.kind, namespaceOf(object), name)) throw alreadyExists(object.kind, name)
      return object
    }
    const written = await put(object, hidden, 0)
    if (!written) throw alreadyExists(object.kind, name)
    return written
  }

  /** One attempt to replace `before` by a draft; undefined when it has changed meanwhile. */
  async function replace(
    before: ResourceRecord,
    input: ResourceDraft,
    options: WriteOptions,
  ): Promise<Resource | undefined> {
    const { dryRun, warn } = options
    const { draft: valid } = expectResource(input)
    const { metadata } = before.object
    const { name, resourceVersion, uid } = valid.metadata
    if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
      throw conflict(valid.kind, name, modified)
    }
    if (uid !== undefined && uid !== metadata.uid) {
      throw conflict(valid.kind, name, `its uid is ${metadata.uid}, not ${JSON.stringify(uid.slice(0, 64))}`)
    }
    const { draft, hidden } = conceal(valid, metadata.uid, before.hidden, sealer)
    const same = complete(draft, metadata, before.object)
    const specified = isDeepStrictEqual(contentOf(same), contentOf(before.object)) && hidden === before.hidden
    const object = specified
      ? same
      : complete(draft, { ...metadata, generation: metadata.generation + 1 }, before.object)
    for (const text of resourceWarnings(object)) warn?.(text)
    if (isDeepStrictEqual(object, before.object) && hidden === before.hidden) return before.object
    const concealed = hidden !== before.hidden
    await admit({ operation: 'update', object, previous: before.object, concealed }, options)
    return dryRun ? object : put(object, hidden, before.modRevision)
  }

  /** Repeats `attempt` on the present record until it gives an object. */
  async function retry(
    kind: Kind,
    namespace: string,
    name: string,
    attempt: (record: ResourceRecord) => Promise<Resource | undefined>,
  ): Promise<Resource> {
    for (let attempts = 0; attempts < maxAttempts; attempts++) {
      const written = await attempt(await expect(kind, namespace, name))
      if (written) return written
    }
    throw conflict(kind, name, modified)
  }

  function toEvent(event: StoreEvent): ResourceEvent {
    if (event.type === 'delete') {
      return { type: 'DELETED', object: decodeRecord(event.previous, event.revision).object }
    }
    const { object } = decodeRecord(event.entry)
    if (!event.previous) return { type: 'ADDED', object }
    return { type: 'MODIFIED', object, previous: decodeRecord(event.previous).object }
  }

  const untyped = {
    async get(kind: Kind, namespace: string, name: string) {
      return (await load(kind, namespace, name))?.object
    },
    async list(kind: Kind | 'all', namespace?: string) {
      const prefix = kind === 'all' ? registryPrefix : kindPrefix(kind, namespace)
      const { entries, revision } = await store.list(prefix)
      const items = entries.map((entry) => decodeRecord(entry).object)
      return {
        items:
          namespace === undefined ? items : items.filter(({ metadata }) => metadata.namespace === namespace),
        resourceVersion: String(revision),
      }
    },
    async scan(
      kind: Kind,
      { namespace, atRevision, after = '' }: { namespace?: string; atRevision?: string; after?: string },
    ) {
      const prefix = kindPrefix(kind, namespace)
      const { entries, revision } =
        atRevision === undefined
          ? await store.list(prefix)
          : await listAt(store, prefix, parseRevision(atRevision))
      const from = kindPrefix(kind)
      const objects = entries
        .filter(({ key }) => key > from + after)
        .map((entry) => ({
          position: entry.key.slice(from.length),
          read: () => decodeRecord(entry).object,
        }))
      return { objects, resourceVersion: String(revision) }
    },
    create: (draft: ResourceDraft, options: WriteOptions = {}) => create(draft, options),
    update(draft: ResourceDraft, options: WriteOptions = {}) {
      return retry(draft.kind, namespaceOf(draft), draft.metadata.name, (before) =>
        replace(before, draft, options),
      )
    },
    patch(kind: Kind, namespace: string, name: string, patch: unknown, options: WriteOptions = {}) {
      return retry(kind, namespace, name, (before) => {
        const { object, hidden } = before
        const { resourceVersion: _, ...metadata } = object.metadata
        const open =
          kind === 'Secret' ? { data: openData(sealer, metadata.uid, hidden) } : ({} as Record<string, never>)
        const patched = mergePatch({ ...object, ...open, metadata }, patch) as ResourceDraft
        const target = {
          ...patched,
          metadata: { ...patched.metadata, name, ...(namespace !== '' && { namespace }) },
        }
        return replace(before, { ...target, apiVersion: object.apiVersion, kind } as ResourceDraft, options)
      })
    },
    updateStatus(kind: Kind, namespace: string, name: string, status: unknown) {
      return retry(kind, namespace, name, async ({ object, hidden, modRevision }) => {
        const next: unknown =
          typeof status === 'function' ? (status as (o: Resource) => unknown)(object) : status
        const draft = { ...object, status: withoutNulls(next) } as Resource
        expectStatus(draft)
        return isDeepStrictEqual(draft, object) ? object : put(draft, hidden, modRevision)
      })
    },
    async delete(
      kind: Kind,
      namespace: string,
      name: string,
      { uid, resourceVersion }: Preconditions = {},
      options: WriteOptions = {},
    ) {
      return retry(kind, namespace, name, async ({ object, modRevision }) => {
        if (uid !== undefined && uid !== object.metadata.uid) {
          throw conflict(kind, name, `its uid is ${object.metadata.uid}`)
        }
        if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion) {
          throw conflict(kind, name, modified)
        }
        await admit({ operation: 'delete', object, previous: object }, options)
        if (options.dryRun) return object
        const key = resourceKey(kind, namespace, name)
        const result = await store.transaction([{ key, modRevision }], [{ type: 'delete', key }])
        return result.ok ? object : undefined
      })
    },
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
        yield events.map(toEvent)
      }
    },
    async matchJoinToken(token: Secret) {
      const hash = Buffer.from(hashToken(token))
      const { entries } = await store.list(kindPrefix('JoinToken'))
      const match = entries
        .map((entry) => decodeRecord(entry))
        .find(
          ({ hidden }) =>
            hidden.tokenHash !== undefined && timingSafeEqual(Buffer.from(hidden.tokenHash), hash),
        )
      return match?.object as JoinToken | undefined
    },
    async secretData(namespace: string, name: string) {
      const record = await load('Secret', namespace, name)
      if (!record) return undefined
      const data = openData(sealer, record.object.metadata.uid, record.hidden)
      return new Map(Object.entries(data).map(([key, text]) => [key, Secret.of(Buffer.from(text, 'base64'))]))
    },
  }
  // One untyped implementation serves every kind: an object's `kind` says which type it is.
  return untyped as unknown as Resources
}

/**
 * Looks at the status alone: an object that was valid when it was written may fail a rule of a newer version,
 * and its status must be able to say so.
 */
function expectStatus(object: Resource): void {
  const parsed = parseResource(object)
  if (parsed.ok) return
  const errors = parsed.errors.filter(({ field }) => /^status(?![^.[])/.test(field))
  if (errors.length > 0) throw invalidResource(parsed.subject, errors)
}
