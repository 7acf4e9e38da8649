/** Told at most; an update of more than this is a different object. */
const maxPaths = 32
const more = '...'

// What the server writes beside every change.
const bookkeeping = new Set([
  'metadata.resourceVersion',
  'metadata.generation',
  'metadata.managedFields',
  'metadata.creationTimestamp',
  'metadata.uid',
])

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function join(path: string, key: string): string {
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${path}[${key.slice(0, 128)}]`
  return path === '' ? key.slice(0, 128) : `${path}.${key.slice(0, 128)}`
}

function* differences(before: unknown, after: unknown, path: string): Generator<string> {
  if (Object.is(before, after) || bookkeeping.has(path)) return
  const [left, right] = [before ?? {}, after ?? {}]
  if (isMap(left) && isMap(right)) {
    const keys = new Set([...Object.keys(left), ...Object.keys(right)])
    for (const key of keys) yield* differences(left[key], right[key], join(path, key))
    // One that came or went, and has no fields.
    if (keys.size === 0 && !(isMap(before) && isMap(after))) yield path
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [index, item] of before.entries()) yield* differences(item, after[index], `${path}[${index}]`)
  } else yield path
}

/**
 * Where two versions of an object differ, such as `spec.addresses[0].port`: paths and never values, for these may
 * be nobody else's business. A list that became longer or shorter is one path; of a map that came or went, each of its
 * fields is. Ends with `...` beyond 32.
 */
export function changedPaths(before: object, after: object): readonly string[] {
  const paths: string[] = []
  for (const path of differences(before, after, '')) {
    if (paths.length === maxPaths) return [...paths, more]
    paths.push(path)
  }
  return paths
}
