import { at } from './field-error.ts'
import { kindNamed } from './registry.ts'

interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
}

function schemaOf(input: unknown): Schema | undefined {
  const { apiVersion, kind } = (input ?? {}) as { apiVersion?: unknown; kind?: unknown }
  return kindNamed(apiVersion, kind)?.schema
}

/** An object of any kind without the fields that its schema does not have, and the paths of these. */
export function withoutUnknownFields(
  input: unknown,
  schema = schemaOf(input),
): { value: unknown; unknown: readonly string[] } {
  if (!schema) return { value: input, unknown: [] }
  const unknown: string[] = []
  return { value: prune(input, schema, '', unknown), unknown }
}

function prune(value: unknown, schema: Schema, path: string, unknown: string[]): unknown {
  if (Array.isArray(value)) {
    const { items } = schema
    return items ? value.map((item, index) => prune(item, items, at(path, index), unknown)) : value
  }
  if (typeof value !== 'object' || value === null || schema.type !== 'object') return value
  const [other] = Object.values(schema.patternProperties ?? {})
  const kept = Object.entries(value).flatMap(([key, item]) => {
    const known = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : other
    if (known) return [[key, prune(item, known, at(path, key), unknown)] as const]
    if (schema.additionalProperties !== false) return [[key, item] as const]
    unknown.push(at(path, key))
    return []
  })
  return Object.fromEntries(kept)
}
