import { at, duplicate, type FieldError } from './field-error.ts'

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The items of a list that an earlier one equals in what tells them apart: its keys, or itself. */
function repeated(items: readonly unknown[], keys: readonly string[] | undefined) {
  const seen = new Set<string>()
  return items.flatMap((item, index) => {
    const own = keys && isNode(item) ? Object.fromEntries(keys.map((key) => [key, item[key]])) : item
    const text = JSON.stringify(own)
    if (seen.has(text)) return [{ index, own }]
    seen.add(text)
    return []
  })
}

/**
 * Items of lists with `x-kubernetes-list-type` map or set that are there twice: nobody could tell whose they are.
 * `value` fits the schema.
 */
export function duplicateItems(value: unknown, schema: unknown, path = ''): FieldError[] {
  if (!isNode(schema)) return []
  if (Array.isArray(value)) {
    const type = schema['x-kubernetes-list-type']
    const keys = schema['x-kubernetes-list-map-keys'] as readonly string[] | undefined
    return [
      ...(type === 'map' || type === 'set' ? repeated(value, keys) : []).map(({ index, own }) =>
        duplicate(at(path, index), own),
      ),
      ...value.flatMap((item, index) => duplicateItems(item, schema['items'], at(path, index))),
    ]
  }
  const { properties } = schema
  if (!isNode(value) || !isNode(properties)) return []
  return Object.entries(value).flatMap(([name, item]) =>
    Object.hasOwn(properties, name) ? duplicateItems(item, properties[name], at(path, name)) : [],
  )
}
