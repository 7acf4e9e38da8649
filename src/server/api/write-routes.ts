import type { FastifyInstance, FastifyReply } from 'fastify'
import { Fault } from '#base/errors'
import {
  kindNamed,
  type Draft,
  type Kind,
  type KindDefinition,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import { changedPaths } from '#model/audit'
import { auditedActor } from '#server/access'
import type { AuditTrail } from '#server/audit'
import type { Preconditions, Resources, Review, StatusOf, WriteOptions } from '#server/store'
import {
  collectionPaths,
  kindOf,
  objectPaths,
  single,
  statusPaths,
  type ResourceRequest,
} from './resource-request.ts'
import { badRequest, statusOf } from './status.ts'

/** Reads a body as an object of the path's kind, name and namespace; what it leaves out is filled in. */
function draftFrom(request: ResourceRequest, definition: KindDefinition<Kind>): ResourceDraft {
  const { namespace, name } = request.params
  const body = request.body as Partial<ResourceDraft> | null
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('an object is expected')
  if (kindNamed(body.apiVersion, body.kind) !== definition) {
    throw badRequest(`the body must be a ${definition.kind} of ${definition.apiVersion}`)
  }
  const metadata = (body.metadata ?? {}) as ResourceDraft['metadata']
  if (typeof metadata !== 'object') throw badRequest('metadata must be an object')
  if (metadata.namespace !== undefined && namespace !== undefined && metadata.namespace !== namespace) {
    throw badRequest('the namespace of the body is not that of the path')
  }
  if (name !== undefined && metadata.name !== undefined && metadata.name !== name) {
    throw badRequest('the name of the body is not that of the path')
  }
  return {
    ...body,
    metadata: {
      ...metadata,
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
    },
  } as ResourceDraft
}

function preconditionsFrom(body: unknown): Preconditions {
  const { preconditions = {} } = (body ?? {}) as { preconditions?: Record<string, unknown> }
  const { uid, resourceVersion } = preconditions
  return {
    ...(typeof uid === 'string' && { uid }),
    ...(typeof resourceVersion === 'string' && { resourceVersion }),
  }
}

/** A `Warning` header value (RFC 9110 left it to RFC 7234 section 5.5): one line of ASCII in quotes. */
function warningHeader(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\\$&')
  return `299 - "${plain}"`
}

/** Which fields an update changes; of what is never given back only that it does. */
function changedBy(review: Review | undefined): { changed?: readonly string[] } {
  if (review?.operation !== 'update' || !review.previous) return {}
  const { object, previous, concealed } = review
  const hidden = object.kind === 'Secret' ? 'data' : 'spec.token'
  return { changed: [...changedPaths(previous, object), ...(concealed ? [hidden] : [])] }
}

/** Create, update, patch and delete on the resource paths of Kubernetes for every kind. */
export function writeRoutes(
  app: FastifyInstance,
  { resources, audit }: { resources: Resources; audit: AuditTrail },
): void {
  /** Runs a write and records who asked for what, and how it ended. */
  async function audited<T extends Resource>(
    request: ResourceRequest,
    verb: string,
    definition: KindDefinition<Kind>,
    name: string,
    write: () => Promise<T>,
  ): Promise<T> {
    const object = `${definition.kind}/${name}`
    const { namespace } = request.params
    const who = { ...auditedActor(request.principal!), ...(namespace !== undefined && { namespace }) }
    let written: T
    try {
      written = await write()
    } catch (error) {
      const { code, message } = statusOf(error)
      const outcome = code >= 500 ? 'failed' : 'refused'
      await audit.change({ ...who, verb, object, outcome, ...(message !== undefined && { message }) })
      throw error
    }
    await audit.change({
      ...who,
      verb,
      object: `${definition.kind}/${written.metadata.name}`,
      ...changedBy(request.review),
      outcome: 'ok',
    })
    return written
  }

  function writeOptions(request: ResourceRequest, reply: FastifyReply): WriteOptions {
    const dryRun = single(request.query, 'dryRun')
    if (dryRun !== undefined && dryRun !== 'All') throw badRequest('dryRun must be All')
    const warnings = new Set<string>()
    return {
      actor: request.principal!,
      observe: (review) => {
        request.review = review
      },
      dryRun: dryRun === 'All',
      warn: (warning) => {
        warnings.add(warningHeader(warning))
        void reply.header('warning', [...warnings])
      },
    }
  }

  const create = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const draft = draftFrom(request, definition)
    const options = writeOptions(request, reply)
    const name = draft.metadata.name ?? draft.metadata.generateName ?? ''
    const object = await audited(request, 'create', definition, name, () =>
      resources.create(draft as Draft<Resource>, options),
    )
    return reply.code(201).send(object)
  }

  const update = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const draft = draftFrom(request, definition)
    const options = writeOptions(request, reply)
    return audited(request, 'update', definition, request.params.name!, () =>
      resources.update(draft as Draft<Resource>, options),
    )
  }

  const patch = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const { namespace = '', name } = request.params
    const options = writeOptions(request, reply)
    return audited(request, 'patch', definition, name!, () =>
      resources.patch(definition.kind, namespace, name!, request.body, options),
    )
  }

  const updateStatus = async (request: ResourceRequest) => {
    const definition = kindOf(request.params)
    const { namespace = '', name } = request.params
    if (!('status' in (definition.schema as { properties: object }).properties)) {
      throw new Fault('KIND_UNKNOWN', `${definition.kind} has no status`)
    }
    const { status } = draftFrom(request, definition)
    return audited(request, 'update-status', definition, name!, () =>
      resources.updateStatus(definition.kind, namespace, name!, (status ?? {}) as StatusOf<Kind>),
    )
  }

  const remove = async (request: ResourceRequest, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const { namespace = '', name } = request.params
    const options = writeOptions(request, reply)
    const preconditions = preconditionsFrom(request.body)
    const { metadata } = await audited(request, 'delete', definition, name!, () =>
      resources.delete(definition.kind, namespace, name!, preconditions, options),
    )
    return {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Success',
      details: { name, group: definition.group, kind: definition.plural, uid: metadata.uid },
    }
  }

  for (const path of collectionPaths) app.post(path, create as never)
  for (const path of objectPaths) {
    app.put(path, update as never)
    app.patch(path, patch as never)
    app.delete(path, remove as never)
  }
  for (const path of statusPaths) app.put(path, updateStatus as never)
}
