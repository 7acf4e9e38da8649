import type { FastifyInstance, FastifyReply } from 'fastify'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import type { Kind, Resource } from '#model/resource'
import type { Resources } from '#server/store'
import {
  collectionPaths,
  kindOf,
  objectPaths,
  single,
  statusPaths,
  type Params,
  type Query,
  type ResourceRequest,
} from './resource-request.ts'
import { badRequest, statusOf } from './status.ts'
import { sendLines, timeoutSignal } from './watch.ts'

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

/** Get, list and watch on the resource paths of Kubernetes for every kind. */
export function readRoutes(
  app: FastifyInstance,
  { resources, log, signal }: { resources: Resources; log: Log; signal: AbortSignal },
): void {
  async function list(request: ResourceRequest, reply: FastifyReply) {
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
    request: ResourceRequest,
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

  const get = async ({ params }: ResourceRequest) => {
    const { kind } = kindOf(params)
    return expectFound(params, await resources.get(kind, params.namespace ?? '', params.name!))
  }

  for (const path of collectionPaths) app.get(path, list as never)
  for (const path of [...objectPaths, ...statusPaths]) app.get(path, get as never)
}

function expectFound(params: Params, object: Resource | undefined): Resource {
  if (object) return object
  const { group, plural } = kindOf(params)
  const message = `${group === '' ? plural : `${plural}.${group}`} ${JSON.stringify(params.name)} not found`
  throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
}
