import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#base/clock'
import { sameManagers, encodeManagers, type Manager } from '#model/managed-fields'
import {
  definitionOf,
  formatSeconds,
  invalidResource,
  namespaceOf,
  resourceWarnings,
  subjectOf,
  withFirstStatus,
  withoutNulls,
  type Kind,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import { finalizerErrors, finalizersOnDeletion, isBeingDeleted } from './deletion.ts'
import { expectDraft, expectStatus, withKnownFields } from './drafts.ts'
import { immutableFieldErrors } from './immutable-fields.ts'
import { applyConfiguration, declaredManagers, managersAfter, type Writer } from './ownership.ts'
import { patchedRecord, type Candidate, type Patch } from './patch.ts'
import type { Store } from './ports.ts'
import { encodeBounded } from './record-size.ts'
import {
  alreadyExists,
  complete,
  conflict,
  contentOf,
  formatUuid,
  modified,
  namespaceTerminating,
  notFound,
  withGeneratedName,
} from './resource-object.ts'
import {
  conceal,
  encodeRecord,
  loadRecord,
  resourceKey,
  type ResourceRecord,
  type Sealer,
} from './resource-record.ts'
import {
  ownManager,
  type Admission,
  type DeleteOptions,
  type Review,
  type WriteOptions,
} from './write-options.ts'
import { reveal, withHashedToken, withPlainData } from './write-only.ts'

// An object that changes this often under a writer who does not mind which version it is: something is wrong.
const maxAttempts = 20

/** Writes objects into `store`; see `Resources` for what each method promises. */
export function openWrites(
  store: Store,
  {
    clock,
    random,
    sealer,
    admissions,
  }: {
    clock: Clock
    random: (bytes: number) => Uint8Array
    sealer: Sealer
    admissions: readonly Admission[]
  },
) {
  const now = () => formatSeconds(clock.now())
  const writerOf = ({ fieldManager = ownManager, subresource }: WriteOptions): Writer => ({
    manager: fieldManager,
    subresource,
    at: now(),
  })

  const load = (kind: Kind, namespace: string, name: string) => loadRecord(store, kind, namespace, name)

  async function admit(change: Review, { actor, warn, observe }: WriteOptions): Promise<void> {
    const review = { ...change, ...(actor && { actor }) }
    for (const admission of admissions) for (const text of await admission(review)) warn?.(text)
    observe?.(review)
  }

  /** Writes an object, encoded, in place of one of `modRevision`; undefined when that is not what is there. */
  async function put(
    object: Resource,
    value: Uint8Array,
    modRevision: number,
  ): Promise<Resource | undefined> {
    const key = resourceKey(object.kind, namespaceOf(object), object.metadata.name)
    const result = await store.transaction([{ key, modRevision }], [{ type: 'put', key, value }])
    if (!result.ok) return undefined
    const metadata = { ...object.metadata, resourceVersion: String(result.revision) }
    return { ...object, metadata } as Resource
  }

  /** Removes a record; undefined when it has changed meanwhile. */
  async function remove({ object, modRevision }: ResourceRecord): Promise<Resource | undefined> {
    const key = resourceKey(object.kind, namespaceOf(object), object.metadata.name)
    const result = await store.transaction([{ key, modRevision }], [{ type: 'delete', key }])
    return result.ok ? object : undefined
  }

  function withManagers(object: Resource, managers: readonly Manager[]): Resource {
    const { managedFields: _, ...metadata } = object.metadata
    const managedFields = encodeManagers(managers, object.apiVersion)
    return {
      ...object,
      metadata: { ...metadata, ...(managedFields.length > 0 && { managedFields }) },
    } as Resource
  }

  async function create(
    input: ResourceDraft,
    options: WriteOptions,
    managers?: readonly Manager[],
  ): Promise<Resource> {
    const { draft: valid, definition } = expectDraft(withGeneratedName(input, random), options)
    if (valid.kind === 'JoinToken' && valid.spec.token === undefined) {
      throw invalidResource(subjectOf(definition, valid.metadata.name), [
        { reason: 'FieldValueRequired', field: 'spec.token', message: 'Required value' },
      ])
    }
    const namespace = namespaceOf(valid)
    const { name } = valid.metadata
    if (input.metadata.resourceVersion !== undefined) {
      throw invalidResource(subjectOf(definition, name), [
        {
          reason: 'FieldValueForbidden',
          field: 'metadata.resourceVersion',
          message: 'Forbidden: resourceVersion should not be set on objects to be created',
        },
      ])
    }
    const place = namespace === '' ? undefined : await load('Namespace', '', namespace)
    if (place && isBeingDeleted(place.object)) throw namespaceTerminating(valid.kind, name, namespace)
    const uid = formatUuid(random(16))
    const { draft, hidden } = conceal(valid, uid, {}, sealer)
    const bare = complete(draft, {
      uid,
      namespace: namespace || undefined,
      generation: 1,
      creationTimestamp: now(),
      resourceVersion: '',
    })
    const owners = managers ?? managersAfter([], {}, reveal(bare, hidden, sealer), writerOf(options))
    const object = withManagers(withPhase('Active', withFirstStatus(bare, clock.now())), owners)
    for (const text of resourceWarnings(object)) options.warn?.(text)
    const encoded = encodeBounded(object, hidden)
    await admit({ operation: 'create', object }, options)
    if (options.dryRun) {
      const present = await load(object.kind, namespace, name)
      if (present) throw alreadyExists(object.kind, name, present.object)
      // What is not kept has no version.
      const { resourceVersion: _, ...metadata } = object.metadata
      return { ...object, metadata } as Resource
    }
    const written = await put(object, encoded, 0)
    if (!written) throw alreadyExists(object.kind, name, (await load(object.kind, namespace, name))?.object)
    return written
  }

  /** What an object is written as in place of another: everything but its status, or its status alone. */
  function successor(before: ResourceRecord, input: Candidate, options: WriteOptions) {
    if (options.subresource === 'status') {
      return { object: expectStatus(before.object, input, options), hidden: before.hidden }
    }
    const { draft: valid } = expectDraft(input, options)
    const { metadata } = before.object
    const { draft, hidden } = conceal(valid, metadata.uid, before.hidden, sealer)
    const same = complete(draft, metadata, before.object)
    const specified = isDeepStrictEqual(contentOf(same), contentOf(before.object)) && hidden === before.hidden
    const generation = metadata.generation + 1
    return { object: specified ? same : complete(draft, { ...metadata, generation }, before.object), hidden }
  }

  /** One attempt to write a candidate in place of `before`; undefined when that has changed meanwhile. */
  async function replace(
    before: ResourceRecord,
    input: Candidate,
    options: WriteOptions,
    managers?: readonly Manager[],
  ): Promise<Resource | undefined> {
    const { kind, metadata } = before.object
    const { resourceVersion, uid, managedFields } = input.metadata
    expectVersion(before.object, { resourceVersion, uid })
    const { object: bare, hidden } = successor(before, input, options)
    const concealed = hidden !== before.hidden
    const errors = [
      ...finalizerErrors(before.object, bare),
      ...immutableFieldErrors(before.object, bare, { isRevalued: concealed }),
    ]
    if (errors.length > 0) throw invalidResource(subjectOf(definitionOf(kind), metadata.name), errors)

    const known = declaredManagers(options.subresource ? [] : managedFields, before.object)
    const revealed = reveal(bare, hidden, sealer)
    // Of an object of which nobody keeps count, nobody begins to until it is applied: some fields would have an owner,
    // and all the others none.
    const tracked = () =>
      known.length === 0
        ? known
        : managersAfter(known, reveal(before.object, before.hidden, sealer), revealed, writerOf(options))
    const owners = managers ?? tracked()
    const unmanaged = withManagers(before.object, [])
    const unchanged =
      !concealed &&
      isDeepStrictEqual(withManagers(bare, []), unmanaged) &&
      sameManagers(owners, declaredManagers([], before.object))
    const object = withManagers(bare, owners)
    if (!options.subresource) for (const text of resourceWarnings(object)) options.warn?.(text)
    if (unchanged) return before.object

    // What the server itself says of an object it must be able to say of any, and would try again and again.
    const own = options.subresource !== undefined && options.actor === undefined
    const encoded = own ? encodeRecord(object, hidden) : encodeBounded(object, hidden, before)
    await admit({ operation: 'update', object, previous: before.object, concealed }, options)
    if (options.dryRun) return object
    // The last finalizer is gone: now it is deleted.
    if (isBeingDeleted(object) && !object.metadata.finalizers?.length) {
      return (await remove(before)) && object
    }
    return put(object, encoded, before.modRevision)
  }

  /** Repeats `attempt` on what is there at present until it gives an object. */
  async function retry(
    kind: Kind,
    namespace: string,
    name: string,
    attempt: (record: ResourceRecord | undefined) => Promise<Resource | undefined>,
  ): Promise<Resource> {
    for (let attempts = 0; attempts < maxAttempts; attempts++) {
      const written = await attempt(await load(kind, namespace, name))
      if (written) return written
    }
    throw conflict(kind, name, modified)
  }

  /** As `retry`, of an object that must be there. */
  async function retryPresent(
    kind: Kind,
    namespace: string,
    name: string,
    attempt: (record: ResourceRecord) => Promise<Resource | undefined>,
  ): Promise<Resource> {
    return retry(kind, namespace, name, (record) => {
      if (record) return attempt(record)
      throw notFound(kind, name)
    })
  }

  return {
    create: (draft: ResourceDraft, options: WriteOptions = {}) => create(draft, options),

    update(draft: ResourceDraft, options: WriteOptions = {}) {
      return retryPresent(draft.kind, namespaceOf(draft), draft.metadata.name, (before) =>
        replace(before, draft, options),
      )
    },

    patch(kind: Kind, namespace: string, name: string, patch: Patch, options: WriteOptions = {}) {
      return retryPresent(kind, namespace, name, (before) =>
        replace(before, patchedRecord(before, patch, { sealer, random }), options),
      )
    },

    /** Says whether the object is new. */
    async apply(
      draft: ResourceDraft,
      { force = false, ...options }: WriteOptions & { force?: boolean } = {},
    ): Promise<{ object: Resource; created: boolean }> {
      const { kind, apiVersion } = draft
      const { name, uid, resourceVersion } = draft.metadata
      const { status, ...rest } = withPlainData(withoutNulls(draft) as ResourceDraft)
      // What a path does not write is no part of what is applied through it.
      const written =
        options.subresource === 'status'
          ? { apiVersion, kind, metadata: withoutNulls({ name, uid, resourceVersion }), status }
          : rest
      // Nobody owns what is dropped.
      const config = withKnownFields(written, options) as ResourceDraft
      let created = false
      const object = await retry(kind, namespaceOf(draft), name, async (before) => {
        if (!before && options.subresource) throw notFound(kind, name)
        // Whoever says which object he means does not want another one, should that be gone.
        if (!before && uid !== undefined) {
          const detail = `uid mismatch: the provided object specified uid ${uid.slice(0, 64)}, and no existing object was found`
          throw conflict(kind, name, detail)
        }
        const live = before ? reveal(before.object, before.hidden, sealer) : {}
        const target = { before: before?.object, live, config: withHashedToken(config) }
        const result = applyConfiguration(target, writerOf(options), force)
        const candidate = withTokenOf(config, result.object as ResourceDraft)
        created = before === undefined
        return before
          ? replace(before, candidate, options, result.managers)
          : create(candidate, options, result.managers)
      })
      return { object, created }
    },

    updateStatus(kind: Kind, namespace: string, name: string, status: unknown) {
      return retryPresent(kind, namespace, name, (before) => {
        const next: unknown =
          typeof status === 'function' ? (status as (o: Resource) => unknown)(before.object) : status
        if (isDeepStrictEqual(withoutNulls(next), before.object.status)) return Promise.resolve(before.object)
        const { name, uid } = before.object.metadata
        return replace(before, { status: next, metadata: { name, uid } }, { subresource: 'status' })
      })
    },

    /** Returns the object as it was, or as it is while finalizers keep it. */
    delete(
      kind: Kind,
      namespace: string,
      name: string,
      { propagationPolicy, ...expected }: DeleteOptions = {},
      options: WriteOptions = {},
    ) {
      return retryPresent(kind, namespace, name, async (before) => {
        const { object, hidden, modRevision } = before
        expectVersion(object, expected)
        await admit({ operation: 'delete', object, previous: object }, options)
        const finalizers = finalizersOnDeletion(object, propagationPolicy)
        if (finalizers.length === 0) return options.dryRun ? object : remove(before)
        const begun = isBeingDeleted(object)
        if (begun && isDeepStrictEqual(finalizers, object.metadata.finalizers)) return object
        const { generation } = object.metadata
        const started = {
          deletionTimestamp: now(),
          deletionGracePeriodSeconds: 0,
          generation: generation + 1,
        }
        const metadata = { ...object.metadata, ...(begun ? {} : started), finalizers }
        const going = withPhase('Terminating', { ...object, metadata } as Resource)
        return options.dryRun ? going : put(going, encodeRecord(going, hidden), modRevision)
      })
    },
  }
}

/** @throws Fault RESOURCE_CONFLICT unless the object is the one, and the version, that the writer means */
function expectVersion(
  { kind, metadata }: Resource,
  { uid, resourceVersion }: Pick<DeleteOptions, 'uid' | 'resourceVersion'>,
): void {
  if (uid !== undefined && uid !== metadata.uid) {
    const detail = `Precondition failed: UID in precondition: ${uid.slice(0, 64)}, UID in object meta: ${metadata.uid}`
    throw conflict(kind, metadata.name, detail)
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(kind, metadata.name, modified)
  }
}

/** A namespace, with what becomes of it in its status. */
function withPhase(phase: 'Active' | 'Terminating', object: Resource): Resource {
  return object.kind === 'Namespace' ? { ...object, status: { ...object.status, phase } } : object
}

/** A join token is known by its hash: what is written is the token of the configuration, or none. */
function withTokenOf(config: ResourceDraft, candidate: ResourceDraft): ResourceDraft {
  if (candidate.kind === 'Secret') return { ...candidate, data: candidate.data ?? {} }
  if (candidate.kind !== 'JoinToken' || config.kind !== 'JoinToken') return candidate
  // No map is for those to refuse who look at the whole.
  if (typeof candidate.spec !== 'object') return candidate
  const { token: _, ...spec } = candidate.spec
  const token = config.spec?.token
  return { ...candidate, spec: { ...spec, ...(token !== undefined && { token }) } }
}
