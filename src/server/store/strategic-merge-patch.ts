import { below, type Structure } from '#model/managed-fields'

type JsonMap = Readonly<Record<string, unknown>>

const isMap = (value: unknown): value is JsonMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const orderPrefix = '$setElementOrder/'
const deletePrefix = '$deleteFromPrimitiveList/'

/**
 * Kubernetes' strategic merge patch, as kubectl sends it for the kinds that Kubernetes has itself: a merge patch
 * that also merges lists whose items the structure tells apart, and has directives. `target` itself is unchanged.
 */
export function strategicMergePatch(target: unknown, patch: unknown, structure: Structure): unknown {
  if (!isMap(patch)) return patch
  const { $patch: directive, $retainKeys: retained, ...fields } = patch
  const plain = Object.entries(fields).filter(([key]) => !key.startsWith('$'))
  const from = isMap(target) && directive !== 'replace' ? target : {}
  const kept = Array.isArray(retained)
    ? Object.entries(from).filter(([key]) => retained.includes(key))
    : Object.entries(from)
  const merged = new Map(kept)
  for (const [key, value] of plain) {
    if (value === null || (isMap(value) && value['$patch'] === 'delete')) merged.delete(key)
    else merged.set(key, mergeField(merged.get(key), value, below(structure, `f:${key}`)))
  }
  for (const [key, value] of Object.entries(fields)) {
    if (!Array.isArray(value)) continue
    if (key.startsWith(deletePrefix)) {
      const name = key.slice(deletePrefix.length)
      const list = merged.get(name)
      if (Array.isArray(list))
        merged.set(
          name,
          list.filter((item) => !value.includes(item)),
        )
    } else if (key.startsWith(orderPrefix)) {
      const name = key.slice(orderPrefix.length)
      const list = merged.get(name)
      const inner = below(structure, `f:${name}`)
      if (Array.isArray(list) && inner.type === 'list') merged.set(name, ordered(list, value, inner.keys))
    }
  }
  return Object.fromEntries(merged)
}

function mergeField(target: unknown, patch: unknown, structure: Structure): unknown {
  if (!Array.isArray(patch) || structure.type !== 'list') return strategicMergePatch(target, patch, structure)
  const replaces = (item: unknown) => isMap(item) && item['$patch'] === 'replace'
  if (patch.some(replaces)) return patch.filter((item) => !replaces(item))
  const { keys, item } = structure
  const items = new Map(
    (Array.isArray(target) ? target : []).map((one) => [identityOf(one, keys), one as unknown]),
  )
  for (const one of patch as unknown[]) {
    const identity = identityOf(one, keys)
    if (isMap(one) && one['$patch'] === 'delete') items.delete(identity)
    else items.set(identity, strategicMergePatch(items.get(identity), one, item))
  }
  return [...items.values()]
}

function identityOf(item: unknown, keys: readonly string[]): string {
  return JSON.stringify(keys.length === 0 || !isMap(item) ? item : keys.map((key) => item[key]))
}

/** Items in the order that is asked for; those that it does not name come first, as they were. */
function ordered(list: readonly unknown[], order: readonly unknown[], keys: readonly string[]): unknown[] {
  const ranks = new Map(order.map((item, index) => [identityOf(item, keys), index]))
  const rank = (item: unknown) => ranks.get(identityOf(item, keys)) ?? -1
  return list.toSorted((a, b) => rank(a) - rank(b))
}
