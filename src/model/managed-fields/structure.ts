/**
 * How the values of a schema merge. A leaf has one owner and is replaced as a whole; a map has an owner for each
 * field, a list for each item, which its keys tell apart, or without keys its value.
 */
export type Structure =
  | { readonly type: 'leaf' }
  | {
      readonly type: 'map'
      /** Those that the schema names. */
      readonly fields: ReadonlyMap<string, Structure>
      /** Of every other key. */
      readonly other: Structure
    }
  | { readonly type: 'list'; readonly keys: readonly string[]; readonly item: Structure }
  | { readonly type: 'unknown' }

/** As much of JSON Schema as decides about merging, with Kubernetes' extensions to it. */
interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular'
}

const leaf = { type: 'leaf' } as const
const unknown: Structure = { type: 'unknown' }

const known = new WeakMap<object, Structure>()

/** The structure that a JSON Schema describes. What it says nothing of goes by its value: objects are maps. */
export function structureOf(schema: object): Structure {
  const found = known.get(schema) ?? derive(schema)
  known.set(schema, found)
  return found
}

function derive(schema: Schema): Structure {
  if (schema.type === 'object') {
    if (schema['x-kubernetes-map-type'] === 'atomic') return leaf
    const [other] = Object.values(schema.patternProperties ?? {})
    const fields = Object.entries(schema.properties ?? {}).map(
      ([name, property]) => [name, structureOf(property)] as const,
    )
    return { type: 'map', fields: new Map(fields), other: other ? structureOf(other) : unknown }
  }
  if (schema.type === 'array') {
    const type = schema['x-kubernetes-list-type'] ?? 'atomic'
    const item = schema.items ? structureOf(schema.items) : unknown
    if (type === 'atomic') return leaf
    return { type: 'list', keys: type === 'map' ? (schema['x-kubernetes-list-map-keys'] ?? []) : [], item }
  }
  return schema.type === undefined ? unknown : leaf
}

export type JsonMap = Readonly<Record<string, unknown>>

/** A value, seen as its structure says, or as the leaf that it is in spite of it. */
export type Shaped =
  | { readonly type: 'leaf' }
  | { readonly type: 'map'; readonly entries: ReadonlyMap<string, unknown> }
  | { readonly type: 'list'; readonly items: ReadonlyMap<string, unknown> }

/** The value's fields or items by path element. A list whose items cannot be told apart is a leaf. */
export function shapeOf(value: unknown, structure: Structure): Shaped {
  if (structure.type === 'list') {
    const items = Array.isArray(value) ? itemsOf(value, structure.keys) : undefined
    return items ? { type: 'list', items } : leaf
  }
  if (structure.type === 'leaf' || typeof value !== 'object' || value === null || Array.isArray(value))
    return leaf
  const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null)
  return { type: 'map', entries: new Map(entries.map(([name, item]) => [`f:${name}`, item])) }
}

function itemsOf(list: readonly unknown[], keys: readonly string[]): Map<string, unknown> | undefined {
  const items = new Map<string, unknown>()
  for (const item of list) {
    const element = keys.length === 0 ? `v:${JSON.stringify(item)}` : keyedElement(item, keys)
    if (element === undefined || items.has(element)) return undefined
    items.set(element, item)
  }
  return items
}

function keyedElement(item: unknown, keys: readonly string[]): string | undefined {
  if (typeof item !== 'object' || item === null) return undefined
  const fields = [...keys].sort().map((key) => [key, (item as JsonMap)[key]] as const)
  if (fields.some(([, value]) => value === undefined || value === null)) return undefined
  return `k:${JSON.stringify(Object.fromEntries(fields))}`
}

/** The structure of what a path element of a map or list leads to. */
export function below(structure: Structure, element: string): Structure {
  if (structure.type === 'map') return structure.fields.get(element.slice(2)) ?? structure.other
  return structure.type === 'list' ? structure.item : unknown
}

/** Whether the element is a field that the schema names, which exists whenever something in it does. */
export function isNamed(structure: Structure, element: string): boolean {
  return structure.type === 'map' && structure.fields.has(element.slice(2))
}
