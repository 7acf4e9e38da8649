import type { FastifyInstance } from 'fastify'
import { isScalar, parseDocument, visit, type Document } from 'yaml'
import { forbidden, required, type Kind, type KindDefinition } from '#model/resource'
import type { Patch } from '#server/store'
import { duplicateFields } from './duplicate-fields.ts'
import { flag, single, type ResourceRequest } from './resource-request.ts'
import { badRequest, invalidOptions, objectTypes, RequestRefusal, unknownFormat } from './status.ts'

const json = 'application/json-patch+json'
const merge = 'application/merge-patch+json'
const strategic = 'application/strategic-merge-patch+json'
const apply = 'application/apply-patch+yaml'

const typeOf = ({ headers }: Pick<ResourceRequest, 'headers'>) =>
  (headers['content-type'] ?? '').split(';', 1)[0]!.trim()

/** @throws RequestRefusal 415 for a patch where a whole object belongs */
export function expectNoPatch(request: Pick<ResourceRequest, 'headers'>): void {
  if ([json, merge, strategic, apply].includes(typeOf(request))) throw unknownFormat(objectTypes)
}

/** What a PATCH asks for: a change, or a configuration to apply. */
export type PatchRequest =
  | Patch
  | { readonly type: 'apply'; readonly config: unknown; readonly force: boolean }

/** Who has more to say says it in JSON. */
const maxYamlBytes = 128 * 1024

/** @throws RequestRefusal 400, 413 */
function readYaml(text: string): unknown {
  if (Buffer.byteLength(text) > maxYamlBytes) {
    const message = `YAML of more than ${maxYamlBytes} bytes is not read: send JSON`
    throw new RequestRefusal(413, 'RequestEntityTooLarge', message)
  }
  try {
    // SECURITY: the parser compares each key of a map with each other one, and reads the whole text again for the
    // line of each error; aliases make much of little.
    const reading = { merge: false, uniqueKeys: false, prettyErrors: false, resolveKnownTags: false }
    const document = parseDocument(text, reading)
    const isPlain = document.errors.length + document.warnings.length === 0
    // SECURITY: the message of a YAML parser quotes the text, which may hold a secret.
    if (isPlain && hasPlainKeys(document)) return document.toJS({ maxAliasCount: 0 })
  } catch {
    // Said below.
  }
  throw badRequest('the body is not YAML')
}

/** Each once, and none that JSON is refused for. */
function hasPlainKeys(document: Document): boolean {
  let plain = true
  visit(document, {
    Map(_, { items }) {
      const keys = new Set(items.map(({ key }) => (isScalar(key) ? String(key.value) : key)))
      plain &&= keys.size === items.length && !keys.has('__proto__')
      return plain ? undefined : visit.BREAK
    },
  })
  return plain
}

function jsonParser(app: FastifyInstance) {
  const parse = app.getDefaultJsonParser('error', 'error')
  const parseJson: typeof parse = (request, body, done) => {
    // Clients in Python say the type of what they do not send.
    if (body === '' && request.method === 'DELETE') return done(null, undefined)
    return parse(request, body, (error, value: unknown) => {
      if (!error) request.duplicateFields = duplicateFields(body)
      done(error, value)
    })
  }
  return parseJson
}

/** SECURITY: for known users only: YAML costs its reader a hundred times what JSON does. */
function parseYamlAs(type: string, app: FastifyInstance): void {
  const parseJson = jsonParser(app)
  app.addContentTypeParser<string>(type, { parseAs: 'string' }, (request, body, done) => {
    if (!request.principal) return done(unknownFormat(['application/json']))
    // What kubectl sends as YAML is JSON.
    parseJson(request, body, (error, value: unknown) => {
      if (!error) return done(null, value)
      try {
        done(null, readYaml(body))
      } catch (refusal) {
        done(refusal as Error)
      }
    })
  })
}

/** Reads the bodies of writes: JSON, and the types of patches. */
export function bodyParsers(app: FastifyInstance): void {
  const types = ['application/json', json, merge, strategic]
  app.addContentTypeParser<string>(types, { parseAs: 'string' }, jsonParser(app))
  parseYamlAs(apply, app)
}

/** Reads YAML wherever an object is expected, also of questions about rights. */
export function yamlBodies(app: FastifyInstance): void {
  parseYamlAs('application/yaml', app)
}

/** Kinds that Kubernetes has itself are known to its clients, which patch them strategically. */
export const isBuiltIn = ({ group }: KindDefinition<Kind>) => group === '' || group.endsWith('.k8s.io')

/** Before anybody reads the body. @throws RequestRefusal 415 with the types of patches that the kind takes */
export function expectPatch(
  request: Pick<ResourceRequest, 'headers'>,
  definition: KindDefinition<Kind>,
): void {
  const accepted = [json, merge, apply, ...(isBuiltIn(definition) ? [strategic] : [])]
  if (!accepted.includes(typeOf(request))) throw unknownFormat(accepted)
}

/** The patch that a request is, by its content type. @throws RequestRefusal 400, 422 */
export function patchFrom(request: ResourceRequest): PatchRequest {
  const { body, query } = request
  const type = typeOf(request)
  const force = flag(query, 'force')
  if (type === apply) {
    if (single(query, 'fieldManager') === undefined) {
      throw invalidOptions('PatchOptions', [required('fieldManager', 'is required for apply patch')])
    }
    return { type: 'apply', config: body, force: force === true }
  }
  if (force !== undefined) {
    const error = forbidden('force', 'may not be specified for non-apply patch')
    throw invalidOptions('PatchOptions', [error])
  }
  if (type === json) return { type: 'json', operations: body }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('an object is expected')
  return { type: type === strategic ? 'strategic' : 'merge', document: body }
}
