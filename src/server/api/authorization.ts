import type { FastifyRequest } from 'fastify'
import { Fault } from '#base/errors'
import { accessRequest, forbiddenMessage, isPathRequest, type AccessRequest } from '#model/access'
import { kindAt } from '#model/resource'
import type { Access } from '#server/access'

/**
 * The path of a request in segments.
 * SECURITY: made of the route and of the parameters that its handler gets, never by reading the URL again: two
 * readings of one path are how a request is allowed as one thing and served as another.
 */
function segmentsOf({ routeOptions, params, url, is404 }: FastifyRequest): string[] {
  const route = routeOptions.url
  if (is404 || route === undefined || route.includes('*')) return url.slice(1).split('?', 1)[0]!.split('/')
  const named = params as Readonly<Record<string, string>>
  return route
    .slice(1)
    .split('/')
    .map((part) => (part.startsWith(':') ? named[part.slice(1)]! : part))
}

/** What a request asks for, with the plural of its kind in the one spelling that rules know. */
export function accessRequestOf(request: FastifyRequest): AccessRequest {
  const asked = accessRequest({
    method: request.method,
    segments: segmentsOf(request),
    query: request.query as Record<string, unknown>,
  })
  if (isPathRequest(asked)) return asked
  const definition = kindAt(asked.group, asked.version, asked.resource)
  return definition ? { ...asked, resource: definition.plural } : asked
}

/** @throws Fault API_FORBIDDEN unless whoever makes a request may */
export function authorize(request: FastifyRequest, { access }: { access: Access }): void {
  const principal = request.principal!
  const asked = accessRequestOf(request)
  if (!access.allows(principal, asked)) {
    const message = forbiddenMessage(principal, asked)
    throw new Fault('API_FORBIDDEN', message, { publicText: message })
  }
  const { headers, impersonation } = request
  request.hold = () => access.hold({ authorization: headers.authorization, impersonation }, asked)
}
