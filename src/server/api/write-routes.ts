import type { Clock } from '#base/clock'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { Fault, isFault } from '#base/errors'
import { forbiddenMessage } from '#model/access'
import { changedPaths, type ChangeRecord } from '#model/audit'
import { namespaceOf, type Draft, type Kind, type KindDefinition, type Resource } from '#model/resource'
import { auditedActor, type Access } from '#server/access'
import type { AuditTrail } from '#server/audit'
import type { Resources, Review, WriteOptions } from '#server/store'
import { accessRequestOf } from './authorization.ts'
import { expectStatus } from './discovery.ts'
import { configFrom, draftFrom } from './drafts.ts'
import { listOptionsFrom } from './list-options.ts'
import { listPart } from './list.ts'
import { expectNoPatch, expectPatch, patchFrom } from './bodies.ts'
import {
  collectionPaths,
  objectPaths,
  statusPaths,
  writtenKindOf,
  type ResourceRequest,
} from './resource-request.ts'
import { methodNotAllowed, statusOf } from './status.ts'
import { representationFor } from './table.ts'
import { deleteOptionsFrom, writeOptionsFrom } from './write-options.ts'

/** What a write did: which fields an update changed, and of what is never given back only that it did. */
function done(review: Review | undefined): Pick<ChangeRecord, 'changed' | 'message'> & { verb?: string } {
  if (!review) return { message: 'nothing changed' }
  const { operation, object, previous, concealed } = review
  // By server-side apply, too.
  if (operation === 'create') return { verb: operation }
  if (operation === 'delete' || !previous) return {}
  const hidden = object.kind === 'Secret' ? 'data' : 'spec.token'
  const changed = [...changedPaths(previous, object), ...(concealed ? [hidden] : [])]
  return changed.length > 0 ? { changed } : { message: 'only who owns which field changed' }
}

/** Create, update, patch and delete on the resource paths of Kubernetes for every kind. */
export function writeRoutes(
  app: FastifyInstance,
  {
    resources,
    audit,
    access,
    clock,
  }: { resources: Resources; audit: AuditTrail; access: Pick<Access, 'allows'>; clock: Clock },
): void {
  /** Before anything is written: whoever can read no answer is not left to guess what became of it. */
  const formOf = ({ headers, query }: ResourceRequest, definition: KindDefinition<Kind>) =>
    representationFor(headers.accept, definition, { query, clock })

  /** Runs a write and records who asked for what, and how it ended. */
  async function audited<T extends Resource>(
    request: ResourceRequest,
    { verb, kind, name, options }: { verb: string; kind: Kind; name: string; options: WriteOptions },
    write: () => Promise<T>,
  ): Promise<T> {
    const object = `${kind}/${name}`
    const { namespace } = request.params
    const { fieldManager: by, dryRun } = options
    const who = {
      ...auditedActor(request.principal!),
      ...(by !== undefined && { by }),
      ...(namespace !== undefined && { namespace }),
    }
    request.isRecorded = true
    // SECURITY: nothing is done of which the trail is known not to take a record.
    await audit.expectWritable()
    let written: T
    try {
      written = await write()
    } catch (error) {
      const { code, message } = statusOf(error)
      const outcome = code >= 500 ? 'failed' : 'refused'
      await audit.change({ ...who, verb, object, outcome, ...(message !== undefined && { message }) })
      throw error
    }
    const named = `${kind}/${written.metadata.name}`
    if (!dryRun) await audit.change({ ...who, verb, object: named, ...done(request.review), outcome: 'ok' })
    // A dry run that went well changed nothing: of those that did not, the trail tells as of any attempt.
    // SECURITY: its answer says whether a value is the one that is there: nobody tries one after the other unseen.
    else if (hasWriteOnly(kind))
      await audit.change({
        ...who,
        verb,
        object: named,
        outcome: 'ok',
        message: 'dry run: nothing was written',
      })
    return written
  }

  /** The options of a write of an object, or of its status when the path says so. */
  function optionsOf(request: ResourceRequest, reply: FastifyReply, definition: KindDefinition<Kind>) {
    const options = writeOptionsFrom(request, reply)
    if (!isStatusPath(request)) return options
    expectStatus(definition)
    return { ...options, subresource: 'status' as const }
  }

  const create = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = writtenKindOf(request.params)
    const form = formOf(request, definition)
    const draft = draftFrom(request, definition)
    const options = writeOptionsFrom(request, reply)
    const name = draft.metadata.name ?? draft.metadata.generateName ?? ''
    const attempt = { verb: 'create', kind: definition.kind, name, options }
    const object = await audited(request, attempt, () => resources.create(draft as Draft<Resource>, options))
    return reply.code(201).send(form.object(object))
  }

  const update = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = writtenKindOf(request.params)
    const form = formOf(request, definition)
    const draft = draftFrom(request, definition)
    const options = optionsOf(request, reply, definition)
    const name = request.params.name!
    const attempt = { verb: verbOf(request, 'update'), kind: definition.kind, name, options }
    const object = await audited(request, attempt, () => resources.update(draft as Draft<Resource>, options))
    return form.object(object)
  }

  const patch = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = writtenKindOf(request.params)
    const form = formOf(request, definition)
    const { namespace = '', name } = request.params
    const options = optionsOf(request, reply, definition)
    const wanted = patchFrom(request)
    const verb = verbOf(request, wanted.type === 'apply' ? 'apply' : 'patch')
    const written = await audited(
      request,
      { verb, kind: definition.kind, name: name!, options },
      async () => {
        if (wanted.type !== 'apply')
          return resources.patch(definition.kind, namespace, name!, wanted, options)
        const { object, created } = await resources.apply(configFrom(request, definition), {
          ...options,
          force: wanted.force,
          observe: (review) => {
            if (review.operation === 'create') expectMayCreate(request)
            options.observe?.(review)
          },
        })
        if (created) void reply.code(201)
        return object
      },
    )
    return form.object(written)
  }

  /** SECURITY: whoever may patch may not create by applying what is not there. */
  function expectMayCreate(request: ResourceRequest): void {
    const asked = { ...accessRequestOf(request), verb: 'create' }
    if (access.allows(request.principal!, asked)) return
    const message = forbiddenMessage(request.principal!, asked)
    throw new Fault('API_FORBIDDEN', message, { publicText: message })
  }

  const remove = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = writtenKindOf(request.params)
    const form = formOf(request, definition)
    const { namespace = '', name } = request.params
    const { dryRun, ...conditions } = deleteOptionsFrom(request)
    const { kind } = definition
    const options = withDryRun(writeOptionsFrom(request, reply), dryRun)
    const object = await audited(request, { verb: 'delete', kind, name: name!, options }, () =>
      resources.delete(kind, namespace, name!, conditions, options),
    )
    const { metadata } = object
    // While finalizers keep it, the object is the answer, as in Kubernetes.
    if (metadata.deletionTimestamp !== undefined && metadata.finalizers?.length) return form.object(object)
    return {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Success',
      details: { name, group: definition.group, kind: definition.plural, uid: metadata.uid },
    }
  }

  const removeCollection = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = writtenKindOf(request.params)
    const { kind } = definition
    const form = formOf(request, definition)
    const part = listOptionsFrom(request.query, definition)
    const { dryRun, propagationPolicy, ...conditions } = deleteOptionsFrom(request)
    const isConditional = Object.keys(conditions).length > 0
    const options = withDryRun(writeOptionsFrom(request, reply), dryRun)
    const { objects, metadata } = await listPart(resources, definition, request.params.namespace, part)
    const deleted: Resource[] = []
    for (const object of objects) {
      const { name, uid } = object.metadata
      const removed = await audited(request, { verb: 'delete', kind, name, options }, () =>
        resources.delete(kind, namespaceOf(object), name, { uid, propagationPolicy, ...conditions }, options),
      ).catch((error: unknown) => {
        if (isFault(error, 'RESOURCE_NOT_FOUND')) return undefined
        // Another of its name meanwhile. SECURITY: what the client says must hold holds for each.
        if (isFault(error, 'RESOURCE_CONFLICT') && !isConditional) return undefined
        throw error
      })
      if (removed) deleted.push(removed)
    }
    return form.list(
      deleted.map((object) => form.item(object)),
      metadata,
    )
  }

  // Before the body is read: what there is no such kind of need not be in a form that is.
  const onRequest = async (request: object) => void writtenKindOf((request as ResourceRequest).params)
  const onObject = async (request: object) => {
    await onRequest(request)
    expectNoPatch(request as ResourceRequest)
  }
  const onPatch = async (request: object) =>
    expectPatch(request as ResourceRequest, writtenKindOf((request as ResourceRequest).params))
  const notAllowed = () => {
    throw methodNotAllowed()
  }
  for (const path of collectionPaths) {
    app.post(path, { onRequest: onObject }, create as never)
    app.delete(path, { onRequest }, removeCollection as never)
    app.route({ method: ['PUT', 'PATCH'], url: path, onRequest, handler: notAllowed })
  }
  for (const path of objectPaths) {
    app.put(path, { onRequest: onObject }, update as never)
    app.patch(path, { onRequest: onPatch }, patch as never)
    app.delete(path, { onRequest }, remove as never)
    app.post(path, { onRequest }, notAllowed)
  }
  for (const path of statusPaths) {
    app.put(path, { onRequest: onObject }, update as never)
    app.patch(path, { onRequest: onPatch }, patch as never)
    app.route({ method: ['POST', 'DELETE'], url: path, onRequest, handler: notAllowed })
  }
}

/** A deletion says in its body, too, that it is a dry run. */
const withDryRun = (options: WriteOptions, dryRun: boolean): WriteOptions =>
  dryRun ? { ...options, dryRun } : options

const hasWriteOnly = (kind: Kind) => kind === 'Secret' || kind === 'JoinToken'

const isStatusPath = ({ routeOptions }: ResourceRequest) => routeOptions.url!.endsWith('/status')

const verbOf = (request: ResourceRequest, verb: string) => (isStatusPath(request) ? `${verb}-status` : verb)
