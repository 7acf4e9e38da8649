import { Type, type TObject, type TProperties } from 'typebox'

/** An object of exactly these properties: anything else is refused with its path. */
export function closed<P extends TProperties>(properties: P, description: string): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, description })
}

/** An object that one writer owns as a whole. */
export function atomic<T extends TObject>(schema: T): T {
  return { ...schema, 'x-kubernetes-map-type': 'atomic' }
}

/** An object whose fields are another system's affair: kept as written. */
export function open(description: string) {
  return Type.Record(Type.String(), Type.Unknown({ description: 'Kept as written.' }), {
    description,
    'x-kubernetes-preserve-unknown-fields': true,
  })
}

export function text(description: string, options: { minLength?: number; maxLength?: number } = {}) {
  return Type.String({ minLength: 1, maxLength: 2048, description, ...options })
}

/** Why something is safe here, in words: blanks say nothing. */
export function why(description: string) {
  return Type.String({ pattern: '\\S', maxLength: 2048, description })
}

export function flag(description: string) {
  return Type.Boolean({ description })
}

/**
 * A list, which one writer owns as a whole; or with `merge` one whose items have owners of their own: a `set` of
 * scalars, or objects that these keys tell apart.
 */
export function list<T extends Type.TSchema>(
  items: T,
  description: string,
  { minItems = 0, merge }: { minItems?: number; merge?: 'set' | readonly string[] } = {},
) {
  const structure = merge !== undefined && {
    'x-kubernetes-list-type': merge === 'set' ? 'set' : 'map',
    ...(merge !== 'set' && { 'x-kubernetes-list-map-keys': [...merge] }),
  }
  return Type.Array(items, { description, minItems, maxItems: 1000, ...structure })
}

export function stringMap(description: string) {
  const value = Type.String({ maxLength: 4096, description: 'The value of one key.' })
  return Type.Record(Type.String(), value, { description })
}

export function choice<const V extends string[]>(values: readonly [...V], description: string) {
  return Type.Enum<V>([...values], { type: 'string', description })
}

export function dateTime(description: string) {
  return Type.String({ format: 'date-time', description })
}

/** A duration in whole seconds, written `3600s`. */
export function seconds(description: string) {
  return Type.String({ pattern: '^\\d{1,9}s$', description: `${description} Whole seconds, such as 3600s.` })
}

/** `3600s` -> 3600; the text has passed validation. */
export function parseSeconds(duration: string): number {
  return Number(duration.slice(0, -1))
}
