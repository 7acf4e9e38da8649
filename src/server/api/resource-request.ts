import type { FastifyRequest } from 'fastify'
import { Fault } from '#base/errors'
import { saysYes } from '#model/access'
import { kindAt, type Kind, type KindDefinition } from '#model/resource'
import { eventsView, type ServedKind } from './events-view.ts'
import { badRequest, methodNotAllowed } from './status.ts'

export interface Params {
  readonly group?: string
  readonly version?: string
  readonly namespace?: string
  /** Absent for the status of a namespace. */
  readonly plural?: string
  readonly name?: string
}

export type Query = Readonly<Record<string, string | string[] | undefined>>

/** A request for a path of the resource API. */
export type ResourceRequest = FastifyRequest<{ Params: Params; Querystring: Query }>

/** The paths of Kubernetes' resource API: all objects of a kind, those of one namespace. */
export const collectionPaths = ['/api/v1', '/apis/:group/:version'].flatMap((base) => [
  `${base}/:plural`,
  `${base}/namespaces/:namespace/:plural`,
])

/** The path of one object, by name. */
export const objectPaths = collectionPaths.map((path) => `${path}/:name`)

// Kubernetes' paths are ambiguous here: this is not a collection named `status` in a namespace.
export const statusPaths = [...objectPaths.map((path) => `${path}/status`), '/api/v1/namespaces/:name/status']

/** The kind that the path names, where its objects lie. @throws Fault KIND_UNKNOWN */
export function kindOf({
  group = '',
  version = 'v1',
  plural = 'namespaces',
  namespace,
  name,
}: Params): ServedKind {
  const { group: eventsGroup, version: eventsVersion } = eventsView
  const isEvents = group === eventsGroup && version === eventsVersion && plural === eventsView.plural
  const definition = isEvents ? eventsView : kindAt(group, version, plural)
  const inPlace =
    definition?.scope === 'Cluster' ? namespace === undefined : namespace !== undefined || name === undefined
  // A client that forgets to name a namespace, or an object, is told so, and not that there is nothing.
  if (definition && inPlace && namespace !== '' && name !== '') return definition
  throw new Fault('KIND_UNKNOWN', `no kind ${plural} in ${group}/${version}`)
}

/** As `kindOf`, for a request that writes. @throws Fault KIND_UNKNOWN, RequestRefusal 405 */
export function writtenKindOf(params: Params): KindDefinition<Kind> {
  const definition = kindOf(params)
  if (definition.present) throw methodNotAllowed()
  return definition
}

/** A query parameter that may be given once. @throws RequestRefusal */
export function givenOnce(query: Query, name: string): string | undefined {
  const value = query[name]
  if (Array.isArray(value)) throw badRequest(`${name} is given more than once`)
  return value
}

/** A query parameter that may be given once; empty is absent. @throws RequestRefusal */
export function single(query: Query, name: string): string | undefined {
  const value = givenOnce(query, name)
  return value === '' ? undefined : value
}

/** A parameter that says yes or no; undefined where it is not given. @throws RequestRefusal when it is more than once */
export function flag(query: Query, name: string): boolean | undefined {
  const value = givenOnce(query, name)
  return value === undefined ? undefined : saysYes(value)
}
