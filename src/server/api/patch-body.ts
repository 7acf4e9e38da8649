import type { FastifyInstance } from 'fastify'
import { parseDocument } from 'yaml'
import type { Kind, KindDefinition } from '#model/resource'
import type { Patch } from '#server/store'
import { single, type ResourceRequest } from './resource-request.ts'
import { badRequest, RequestRefusal } from './status.ts'
import { invalidOptions } from './write-options.ts'

const json = 'application/json-patch+json'
const merge = 'application/merge-patch+json'
const strategic = 'application/strategic-merge-patch+json'
const apply = 'application/apply-patch+yaml'

/** What a PATCH asks for: a change, or a configuration to apply. */
export type PatchRequest =
  | Patch
  | { readonly type: 'apply'; readonly config: unknown; readonly force: boolean }

/** Reads the bodies of writes that are not plain JSON: the types of patches, and YAML. */
export function patchParsers(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser([json, merge, strategic], { parseAs: 'string' }, parseJson)
  app.addContentTypeParser([apply, 'application/yaml'], { parseAs: 'string' }, (_request, body, done) => {
    const document = parseDocument(body as string, { merge: false, uniqueKeys: true })
    // SECURITY: the message of a YAML parser quotes the text, which may hold a secret.
    if (document.errors.length > 0) return done(badRequest('the body is not YAML'))
    try {
      done(null, document.toJS({ maxAliasCount: 100 }))
    } catch {
      done(badRequest('the body is not YAML'))
    }
  })
}

// Kinds that Kubernetes has itself are known to its clients, which patch them strategically.
const isBuiltIn = ({ group }: KindDefinition<Kind>) => group === '' || group.endsWith('.k8s.io')

/** The patch that a request is, by its content type. @throws RequestRefusal 415, Fault RESOURCE_INVALID */
export function patchFrom(request: ResourceRequest, definition: KindDefinition<Kind>): PatchRequest {
  const { body, query, headers } = request
  const [type = ''] = (headers['content-type'] ?? '').split(';', 1)
  const force = single(query, 'force')
  if (type.trim() === apply) {
    if (single(query, 'fieldManager') === undefined) {
      throw invalidOptions('PatchOptions', {
        reason: 'FieldValueRequired',
        field: 'fieldManager',
        message: 'Required value: is required for apply patch',
      })
    }
    return { type: 'apply', config: body, force: force === 'true' || force === '1' }
  }
  if (force !== undefined) {
    throw invalidOptions('PatchOptions', {
      reason: 'FieldValueForbidden',
      field: 'force',
      message: 'Forbidden: may not be specified for non-apply patch',
    })
  }
  if (type.trim() === json) return { type: 'json', operations: body }
  if (type.trim() !== merge && !(type.trim() === strategic && isBuiltIn(definition))) {
    const accepted = [json, merge, apply, ...(isBuiltIn(definition) ? [strategic] : [])]
    throw new RequestRefusal(
      415,
      'UnsupportedMediaType',
      `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    )
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('an object is expected')
  return { type: type.trim() === strategic ? 'strategic' : 'merge', document: body }
}
