import type { FastifyInstance, FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { jittered, type Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import type { Resource } from '#model/resource'
import type { Resources } from '#server/store'
import { expectStatus } from './discovery.ts'
import type { ServedKind } from './events-view.ts'
import { listPart } from './list.ts'
import { encodedAtOnce, listBody } from './list-body.ts'
import { listOptionsFrom } from './list-options.ts'
import {
  collectionPaths,
  flag,
  kindOf,
  objectPaths,
  statusPaths,
  type Params,
  type ResourceRequest,
} from './resource-request.ts'
import { statusOf } from './status.ts'
import { representationFor } from './table.ts'
import { encodeEvent, watchEvents } from './watch-events.ts'
import { sendLines } from './watch.ts'

// As Kubernetes' API servers do: clients come back, and not all at once.
const longestWatchSeconds = 3600

/** Get, list and watch on the resource paths of Kubernetes for every kind. */
export function readRoutes(
  app: FastifyInstance,
  {
    resources,
    clock,
    log,
    signal,
    random = Math.random,
  }: { resources: Resources; clock: Clock; log: Log; signal: AbortSignal; random?: () => number },
): void {
  const representation = ({ headers, query }: ResourceRequest, definition: ServedKind) =>
    representationFor(headers.accept, definition, { query, clock })

  async function list(request: ResourceRequest, reply: FastifyReply) {
    const definition = kindOf(request.params)
    const { namespace } = request.params
    if (isClusterInfo(request)) return noClusterServices
    const options = listOptionsFrom(request.query, definition)
    const form = representation(request, definition)
    if (!options.watch) {
      const { objects, metadata } = await listPart(resources, definition, namespace, options)
      if (objects.length <= encodedAtOnce) {
        return form.list(
          objects.map((object) => form.item(object)),
          metadata,
        )
      }
      return reply
        .type('application/json; charset=utf-8')
        .send(Readable.from(listBody(form, objects, metadata)))
    }
    const { timeoutSeconds = jittered(longestWatchSeconds, 0.5, random) } = options
    const seconds = Math.min(timeoutSeconds, longestWatchSeconds)
    // Not a signal that times out by itself: that stays in memory until it does, long after its watch has ended.
    const expiry = new AbortController()
    const cancel = clock.after(Math.round(seconds * 1000), () => expiry.abort(), { unref: true })
    await sendLines(request, reply, {
      contentType: 'application/json',
      signal,
      log,
      lines: (signal) =>
        watchEvents(resources, {
          definition,
          namespace,
          options,
          representation: form,
          clock,
          expiry: expiry.signal,
          signal,
        }),
      encode: encodeEvent,
      onError: (error) => ({ type: 'ERROR', object: statusOf(error) }),
    }).finally(cancel)
    return reply
  }

  const get = async (request: ResourceRequest) => {
    const { params } = request
    const definition = kindOf(params)
    const object = await resources.get(definition.kind, params.namespace ?? '', params.name!)
    return representation(request, definition).object(expectFound(params, object))
  }

  const getStatus = async (request: ResourceRequest) => {
    const definition = kindOf(request.params)
    // SECURITY: a right to statuses alone is none to objects that have no status.
    expectStatus(definition)
    return get(request)
  }

  const listDefinitions = async (request: ResourceRequest) => {
    if (flag(request.query, 'watch')) throw new Fault('KIND_UNKNOWN', 'custom resources are none to watch')
    return noDefinitions
  }

  app.get(definitionsPath, listDefinitions as never)
  for (const path of collectionPaths) app.get(path, list as never)
  for (const path of objectPaths) app.get(path, get as never)
  for (const path of statusPaths) app.get(path, getStatus as never)
}

/**
 * `kubectl cluster-info` asks for those Services of the nameless group that belong to the cluster, and takes ours for
 * them. There are none, and it can read only an empty list of its own.
 */
function isClusterInfo({ params, query }: ResourceRequest): boolean {
  const selected = query['labelSelector'] === 'kubernetes.io/cluster-service=true'
  return params.plural === 'services' && params.namespace === 'kube-system' && selected
}

const noClusterServices = { kind: 'ServiceList', apiVersion: 'v1', metadata: {}, items: [] }

/**
 * Before it sends what can only be created, as a question is, kubectl looks whether its kind is a custom one, and goes
 * no further where it cannot.
 */
const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const noDefinitions = {
  kind: 'CustomResourceDefinitionList',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: {},
  items: [],
}

function expectFound(params: Params, object: Resource | undefined): Resource {
  if (object) return object
  const { group, plural } = kindOf(params)
  const message = `${group === '' ? plural : `${plural}.${group}`} ${JSON.stringify(params.name)} not found`
  throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
}
