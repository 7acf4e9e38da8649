import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import {
  kindAt,
  kindNamed,
  type Draft,
  type Kind,
  type KindDefinition,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import type { AuditTrail } from '#server/audit'
import type { Preconditions, Resources, StatusOf, WriteOptions } from '#server/store'
import { badRequest, statusOf } from './status.ts'
import { sendLines, timeoutSignal } from './watch.ts'

type Params = { group?: string; version?: string; namespace?: string; plural: string; name?: string }
type Query = Readonly<Record<string, string | string[] | undefined>>
type Request = FastifyRequest<{ Params: Params; Querystring: Query }>

/** The kind that the path names. @throws Fault KIND_UNKNOWN */
function kindOf({ group = '', version = 'v1', plural }: Params): KindDefinition<Kind> {
  const definition = kindAt(group, version, plural)
  if (definition) return definition
  throw new Fault('KIND_UNKNOWN', `no kind ${plural} in ${group}/${version}`)
}

function single(query: Query, name: string): string | undefined {
  const value = query[name]
  if (Array.isArray(value)) throw badRequest(`${name} is given more than once`)
  return value === '' ? undefined : value
}

/** The one name that a list is restricted to, by the only field selector there is. */
function selectedName(query: Query): string | undefined {
  // A selector that were ignored would make `delete -l` delete everything.
  if (single(query, 'labelSelector') !== undefined) throw badRequest('label selectors are not supported')
  const selector = single(query, 'fieldSelector')
  if (selector === undefined) return undefined
  const match = /^metadata\.name==?([a-z0-9.-]+)$/.exec(selector)
  if (!match) throw badRequest('the only field selector supported is metadata.name=NAME')
  return match[1]
}

/** Reads a body as an object of the path's kind, name and namespace; what it leaves out is filled in. */
function draftFrom(request: Request, definition: KindDefinition<Kind>): ResourceDraft {
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

/** The resource paths of Kubernetes for every kind. */
export function resourceRoutes(
  app: FastifyInstance,
  {
    resources,
    audit,
    log,
    signal,
  }: { resources: Resources; audit: AuditTrail; log: Log; signal: AbortSignal },
): void {
  /** Runs a write and records who asked for what, and how it ended. */
  async function audited<T extends Resource>(
    request: Request,
    verb: string,
    definition: KindDefinition<Kind>,
    name: string,
    write: () => Promise<T>,
  ): Promise<T> {
    const object = `${definition.kind}/${name}`
    const actor = request.principal!.name
    let written: T
    try {
      written = await write()
    } catch (error) {
      const { code, message } = statusOf(error)
      const outcome = code >= 500 ? 'failed' : 'refused'
      await audit.change({ actor, verb, object, outcome, ...(message !== undefined && { message }) })
      throw error
    }
    await audit.change({ actor, verb, object: `${definition.kind}/${written.metadata.name}`, outcome: 'ok' })
    return written
  }

  function writeOptions(request: Request, reply: FastifyReply): WriteOptions {
    const dryRun = single(request.query, 'dryRun')
    if (dryRun !== undefined && dryRun !== 'All') throw badRequest('dryRun must be All')
    const warnings = new Set<string>()
    return {
      dryRun: dryRun === 'All',
      warn: (warning) => {
        warnings.add(warningHeader(warning))
        void reply.header('warning', [...warnings])
      },
    }
  }

  async function list(request: Request, reply: FastifyReply) {
    const { kind, apiVersion } = kindOf(request.params)
    const { namespace } = request.params
    const name = selectedName(request.query)
    const wanted = ({ metadata }: Resource) => name === undefined || metadata.name === name
    const watch = single(request.query, 'watch')
    if (watch === 'true' || watch === '1') return watchKind(request, reply, kind, wanted)
    const { items, resourceVersion } = await resources.list(kind, namespace)
    return { apiVersion, kind: `${kind}List`, metadata: { resourceVersion }, items: items.filter(wanted) }
  }

  async function watchKind(
    request: Request,
    reply: FastifyReply,
    kind: Kind,
    wanted: (object: Resource) => boolean,
  ) {
    const { namespace } = request.params
    const from = single(request.query, 'resourceVersion')
    const timeout = single(request.query, 'timeoutSeconds')
    if (timeout !== undefined && !/^\d{1,5}$/.test(timeout))
      throw badRequest('timeoutSeconds must be a number')
    await sendLines(request, reply, {
      contentType: 'application/json',
      signal: AbortSignal.any([signal, timeoutSignal(timeout === undefined ? undefined : Number(timeout))]),
      log,
      async *lines(signal) {
        let fromRevision = from
        // Without a revision, or with 0, a watch begins with what there is.
        if (fromRevision === undefined || fromRevision === '0') {
          const listed = await resources.list(kind, namespace)
          for (const object of listed.items.filter(wanted)) yield { type: 'ADDED', object }
          fromRevision = listed.resourceVersion
        }
        for await (const events of resources.watch(kind, { fromRevision, namespace, signal })) {
          for (const { type, object } of events) if (wanted(object)) yield { type, object }
        }
      },
      onError: (error) => ({ type: 'ERROR', object: statusOf(error) }),
    })
    return reply
  }

  const create = async (request: Request, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const draft = draftFrom(request, definition)
    const options = writeOptions(request, reply)
    const name = draft.metadata.name ?? draft.metadata.generateName ?? ''
    const object = await audited(request, 'create', definition, name, () =>
      resources.create(draft as Draft<Resource>, options),
    )
    return reply.code(201).send(object)
  }

  const get = async ({ params }: Request) => {
    const { kind } = kindOf(params)
    return expectFound(params, await resources.get(kind, params.namespace!, params.name!))
  }

  const update = async (request: Request, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const draft = draftFrom(request, definition)
    const options = writeOptions(request, reply)
    return audited(request, 'update', definition, request.params.name!, () =>
      resources.update(draft as Draft<Resource>, options),
    )
  }

  const patch = async (request: Request, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const { namespace, name } = request.params
    const options = writeOptions(request, reply)
    return audited(request, 'patch', definition, name!, () =>
      resources.patch(definition.kind, namespace!, name!, request.body, options),
    )
  }

  const updateStatus = async (request: Request) => {
    const definition = kindOf(request.params)
    const { namespace, name } = request.params
    if (!('status' in (definition.schema as { properties: object }).properties)) {
      throw new Fault('KIND_UNKNOWN', `${definition.kind} has no status`)
    }
    const { status } = draftFrom(request, definition)
    return audited(request, 'update-status', definition, name!, () =>
      resources.updateStatus(definition.kind, namespace!, name!, (status ?? {}) as StatusOf<Kind>),
    )
  }

  const remove = async (request: Request, reply: FastifyReply) => {
    const definition = kindOf(request.params)
    const { namespace, name } = request.params
    const options = writeOptions(request, reply)
    const preconditions = preconditionsFrom(request.body)
    const { metadata } = await audited(request, 'delete', definition, name!, () =>
      resources.delete(definition.kind, namespace!, name!, preconditions, options),
    )
    return {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Success',
      details: { name, group: definition.group, kind: definition.plural, uid: metadata.uid },
    }
  }

  for (const base of ['/api/v1', '/apis/:group/:version']) {
    const collection = `${base}/namespaces/:namespace/:plural`
    app.get(`${base}/:plural`, list as never)
    app.post(`${base}/:plural`, create as never)
    app.get(collection, list as never)
    app.post(collection, create as never)
    app.get(`${collection}/:name`, get as never)
    app.put(`${collection}/:name`, update as never)
    app.patch(`${collection}/:name`, patch as never)
    app.delete(`${collection}/:name`, remove as never)
    app.get(`${collection}/:name/status`, get as never)
    app.put(`${collection}/:name/status`, updateStatus as never)
  }
}

function expectFound(params: Params, object: Resource | undefined): Resource {
  if (object) return object
  const { group, plural } = kindOf(params)
  const message = `${group === '' ? plural : `${plural}.${group}`} ${JSON.stringify(params.name)} not found`
  throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
}
