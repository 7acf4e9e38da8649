import {
  invalidResource,
  kindNamed,
  markErrors,
  subjectOf,
  withoutEmpty,
  type Draft,
  type Kind,
  type KindDefinition,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import { isBuiltIn } from './bodies.ts'
import type { ResourceRequest } from './resource-request.ts'
import { badRequest } from './status.ts'

/** Reads a body as an object of the path's kind, name and namespace; what it leaves out is filled in. */
export function draftFrom(request: ResourceRequest, definition: KindDefinition<Kind>): ResourceDraft {
  const { namespace, name } = request.params
  const body = request.body as Partial<ResourceDraft> | null
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('an object is expected')
  const { apiVersion, kind } = markedAs(definition, request, body)
  if (kindNamed(apiVersion, kind) !== definition) {
    throw badRequest(`the body must be a ${definition.kind} of ${definition.apiVersion}`)
  }
  const given: unknown = body.metadata ?? {}
  if (typeof given !== 'object') throw badRequest('metadata must be an object')
  const metadata = withoutEmpty(given as ResourceDraft['metadata'])
  const errors = markErrors(metadata)
  if (errors.length > 0) throw invalidResource(subjectOf(definition, name), errors)
  if (metadata.namespace !== undefined && namespace !== undefined && metadata.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
  if (name !== undefined && metadata.name !== undefined && metadata.name !== name) {
    const message = `the name of the object (${metadata.name}) does not match the name on the URL (${name})`
    throw badRequest(message.slice(0, 1000))
  }
  return {
    ...body,
    apiVersion,
    kind,
    metadata: {
      ...metadata,
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
    },
  } as ResourceDraft
}

/**
 * Of its own kinds Kubernetes takes the path's word where the body says nothing, and clients in Python rely on it. A
 * configuration to apply says it always.
 */
function markedAs(
  definition: KindDefinition<Kind>,
  { method }: ResourceRequest,
  { apiVersion, kind }: Partial<ResourceDraft>,
) {
  if (method === 'PATCH' || !isBuiltIn(definition)) return { apiVersion, kind }
  return { apiVersion: apiVersion || definition.apiVersion, kind: kind || definition.kind }
}

/** The configuration of a server-side apply. It says who owns nothing, for that is what applying decides. */
export function configFrom(request: ResourceRequest, definition: KindDefinition<Kind>): Draft<Resource> {
  const config = draftFrom(request, definition)
  if (config.metadata.managedFields === undefined) return config
  throw badRequest('metadata.managedFields must be nil')
}
