import { Compile, type Validator } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { Type, type TSchema } from 'typebox'
import {
  at,
  invalid,
  invalidResource,
  malformed,
  notSupported,
  required,
  unknownField,
  type FieldError,
} from './field-error.ts'
import type { Draft, KindDefinition } from './kind.ts'
import { duplicateItems } from './list-keys.ts'
import { numberErrors } from './numbers.ts'
import { checkMeta, type DraftMeta } from './object-meta.ts'
import { kindNamed, type Kind, type Resource } from './registry.ts'

type SchemaNode = Readonly<Record<string, unknown>>
interface SchemaError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

// The library tells eight unless told otherwise, and some of what it tells is left out below.
Settings.Set({ maxErrors: 1_000 })

/**
 * SECURITY: to find all that is wrong takes the library a hundred times what it takes to see that something is. That
 * is done for objects of so many values at most.
 */
const maxExplained = 20_000

const validators = new WeakMap<TSchema, Validator>()

function validatorOf(schema: TSchema): Validator {
  const found = validators.get(schema) ?? Compile(schema)
  validators.set(schema, found)
  return found
}

/** Drops null properties, as Kubernetes does: a field set to null is a field not set. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      item === null || item === undefined ? [] : [[key, withoutNulls(item)]],
    ),
  )
}

function hasMoreValues(value: unknown, than: number): boolean {
  const found = [value]
  // What is added meanwhile is walked through, too.
  for (const next of found) {
    if (typeof next !== 'object' || next === null) continue
    const keys = Object.keys(next)
    if (found.length + keys.length > than) return true
    for (const key of keys) found.push((next as Record<string, unknown>)[key])
  }
  return false
}

function steps(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function nodeAt(root: unknown, pointer: string): unknown {
  return steps(pointer).reduce<unknown>(
    (node, step) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, step)
        ? (node as Record<string, unknown>)[step]
        : undefined,
    root,
  )
}

/** `/spec/selectors/0/k8s:x` -> `spec.selectors[0][k8s:x]`; array indices are told by the value itself. */
function fieldPath(root: unknown, pointer: string): string {
  let node: unknown = root
  let path = ''
  for (const step of steps(pointer)) {
    path = at(path, Array.isArray(node) ? Number(step) : step)
    node = nodeAt(node, `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`)
  }
  return path
}

function toFieldErrors(value: unknown, schema: TSchema, error: SchemaError): FieldError[] {
  const { keyword, instancePath, params } = error
  const field = fieldPath(value, instancePath)
  const actual = nodeAt(value, instancePath)
  const node = (nodeAt(schema, error.schemaPath.slice(1)) ?? {}) as SchemaNode
  const detail = describe(error, node)
  switch (keyword) {
    case 'required':
      return (params as { requiredProperties: string[] }).requiredProperties.map((name) =>
        required(at(field, name)),
      )
    // What is said of a field where none is allowed.
    case 'boolean':
      return [unknownField(field)]
    case 'enum':
      return [notSupported(field, actual, (params as { allowedValues: unknown[] }).allowedValues)]
    case 'const':
      return [notSupported(field, actual, [(params as { allowedValue: unknown }).allowedValue])]
    default: {
      // SECURITY: a value is shown only where the schema expects a plain scalar that may be read back; anything
      // else could be a secret in the wrong place.
      const mayShow =
        keyword !== 'type' && keyword !== 'anyOf' && node['writeOnly'] !== true && typeof actual !== 'object'
      return [mayShow ? invalid(field, actual, detail) : malformed(field, detail)]
    }
  }
}

function describe({ keyword, message, params }: SchemaError, node: SchemaNode): string {
  if (keyword === 'pattern' && String(node['pattern']).startsWith('^\\d{1,9}s$')) {
    return 'must be a duration in whole seconds such as 3600s'
  }
  if (keyword === 'pattern' && node['pattern'] === '\\S') return 'must have a character that is no blank'
  if (keyword === 'type') return `must be of type ${String((params as { type: unknown }).type)}`
  if (keyword === 'anyOf') return 'must be a string, an integer or a list of these'
  return message
}

function schemaErrors(schema: TSchema, value: unknown): FieldError[] {
  const validator = validatorOf(schema)
  if (validator.Check(value)) return []
  if (hasMoreValues(value, maxExplained)) {
    const detail = `not of the form that is expected; of more than ${maxExplained} values it is not said where`
    return [malformed('', detail)]
  }
  const errors = validator.Errors(value) as unknown as SchemaError[]
  const unions = errors
    .filter(({ keyword }) => keyword === 'anyOf')
    .map(({ schemaPath }) => `${schemaPath}/anyOf/`)
  const found = errors
    .filter(
      ({ keyword, schemaPath }) =>
        keyword !== 'additionalProperties' && !unions.some((union) => schemaPath.startsWith(union)),
    )
    .flatMap((error) => toFieldErrors(value, schema, error))
  // SECURITY: the library tells the first few errors only: none that is left of them does not mean that all is well.
  return found.length > 0 ? found : [malformed('', 'not of the form that is expected')]
}

/** A valid object, not yet stored: fields that only the server sets may be absent. */
export type ResourceDraft = Draft<Resource>

export type Parsed =
  | { readonly ok: true; readonly draft: ResourceDraft; readonly definition: KindDefinition<Kind> }
  | { readonly ok: false; readonly subject: string; readonly errors: readonly FieldError[] }

/** Reads an object of any kind from untrusted JSON. Null fields are dropped; nothing else is changed. */
export function parseResource(input: unknown): Parsed {
  const value = withoutNulls(input)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, subject: 'object', errors: [malformed('', 'an object is expected')] }
  }
  const { apiVersion, kind, metadata } = value as Record<string, unknown>
  const definition = kindNamed(apiVersion, kind)
  const name = (metadata as Partial<DraftMeta> | undefined)?.name
  if (!definition) {
    const errors: FieldError[] = []
    if (typeof apiVersion !== 'string') errors.push(required('apiVersion'))
    if (typeof kind !== 'string') errors.push(required('kind'))
    if (errors.length === 0) {
      errors.push(
        malformed('', `no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`),
      )
    }
    return { ok: false, subject: 'object', errors }
  }
  const subject = subjectOf(definition, name)
  const errors = schemaErrors(definition.schema, value)
  if (errors.length > 0) return { ok: false, subject, errors }
  const draft = value as ResourceDraft
  const ruleErrors = [
    ...numberErrors(draft),
    ...duplicateItems(draft, definition.schema),
    ...checkMeta(draft.metadata, definition),
    ...definition.check(draft as never),
  ]
  if (ruleErrors.length > 0) return { ok: false, subject, errors: ruleErrors }
  return { ok: true, draft, definition }
}

const fieldSchemas = new WeakMap<TSchema, Map<string, TSchema>>()

/** As much of a kind's schema as is about one field. */
function fieldSchemaOf({ schema }: Pick<KindDefinition, 'schema'>, name: string): TSchema {
  const ofKind = fieldSchemas.get(schema) ?? new Map<string, TSchema>()
  fieldSchemas.set(schema, ofKind)
  const { properties } = schema as unknown as { properties: Readonly<Record<string, TSchema>> }
  const field = properties[name] && { [name]: properties[name] }
  const found = ofKind.get(name) ?? Type.Object({ ...field }, { additionalProperties: false })
  ofKind.set(name, found)
  return found
}

/**
 * What is wrong with one field, such as the status, whatever the rest of its object is like. Null fields are for the
 * caller to drop.
 */
export function fieldErrors(
  definition: Pick<KindDefinition, 'schema'>,
  name: string,
  value: unknown,
): readonly FieldError[] {
  const schema = fieldSchemaOf(definition, name)
  const field = { [name]: value }
  const errors = schemaErrors(schema, field)
  return errors.length > 0 ? errors : [...numberErrors(field), ...duplicateItems(field, schema)]
}

/** `Service.core.riptides.io "aws"`, as kubectl names an object. */
export function subjectOf({ kind, group }: Pick<KindDefinition, 'kind' | 'group'>, name: unknown): string {
  return `${group === '' ? kind : `${kind}.${group}`} ${JSON.stringify(typeof name === 'string' ? name.slice(0, 253) : '')}`
}

/** Like `parseResource`, for callers that cannot go on without. @throws Fault RESOURCE_INVALID */
export function expectResource(input: unknown): { draft: ResourceDraft; definition: KindDefinition<Kind> } {
  const parsed = parseResource(input)
  if (!parsed.ok) throw invalidResource(parsed.subject, parsed.errors)
  return parsed
}

/** Paths of fields that a valid object sets but that are not acted on yet: it must not read OK. */
export function unsupportedFields(object: ResourceDraft | Resource): readonly string[] {
  const { unsupported } = kindNamed(object.apiVersion, object.kind)!
  return unsupported(object as never)
}

/** What to tell whoever writes a valid object, in words. */
export function resourceWarnings(object: ResourceDraft | Resource): readonly string[] {
  const { warn } = kindNamed(object.apiVersion, object.kind)!
  return [
    ...warn(object as never),
    ...unsupportedFields(object).map((path) => `${path}: accepted but not acted on yet`),
  ]
}
