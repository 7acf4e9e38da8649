import { isEmpty, noFields, oneField, setOf, type FieldSet } from './field-set.ts'
import { below, isNamed, shapeOf, type JsonMap, type Shaped, type Structure } from './structure.ts'

const contentOf = (shape: Shaped): ReadonlyMap<string, unknown> => {
  if (shape.type === 'leaf') return new Map()
  return shape.type === 'map' ? shape.entries : shape.items
}

/** The fields that a value sets (structured-merge-diff, typed/tofieldset.go). */
export function fieldsIn(value: unknown, structure: Structure): FieldSet {
  const shape = shapeOf(value, structure)
  if (shape.type === 'leaf') return oneField
  const children = [...contentOf(shape)].map(([element, item]) => {
    const child = fieldsIn(item, below(structure, element))
    const own = shape.type === 'list' || !isNamed(structure, element) || isEmptyMap(item)
    return [element, { ...child, member: child.member || own }] as const
  })
  return setOf(false, children)
}

function isEmptyMap(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  )
}

/** Whether two values of JSON are the same, whatever the order of their keys; 0 and -0 are. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [keys, others] = [Object.keys(a), Object.keys(b)]
  return (
    keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && sameJson((a as JsonMap)[key], (b as JsonMap)[key]))
  )
}

export interface Comparison {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}

const nothing: Comparison = { added: noFields, modified: noFields, removed: noFields }

/** What became of each field on the way from one value to another (typed/compare.go). */
export function compare(before: unknown, after: unknown, structure: Structure): Comparison {
  // The very same, as all of an object is of which only the status changes.
  if (before === after) return nothing
  const from = shapeOf(before ?? after, structure)
  const to = shapeOf(after ?? before, structure)
  const [old, young] = [
    before === undefined ? new Map() : contentOf(from),
    after === undefined ? new Map() : contentOf(to),
  ]
  // Empty on both sides is a leaf, so that the difference between empty and absent counts.
  if (from.type === 'leaf' || to.type === 'leaf' || (old.size === 0 && young.size === 0)) {
    if (before === undefined) return { ...nothing, added: oneField }
    if (after === undefined) return { ...nothing, removed: oneField }
    return sameJson(before, after) ? nothing : { ...nothing, modified: oneField }
  }
  const elements = [...new Set([...old.keys(), ...young.keys()])]
  const children = elements.map(
    (element) => [element, compare(old.get(element), young.get(element), below(structure, element))] as const,
  )
  const pick = (member: boolean, part: keyof Comparison) =>
    setOf(
      member,
      children.map(([element, child]) => [element, child[part]]),
    )
  return {
    added: pick(before === undefined, 'added'),
    modified: pick(false, 'modified'),
    removed: pick(after === undefined, 'removed'),
  }
}

/** `live` with everything that `config` says (typed/merge.go). */
export function merge(live: unknown, config: unknown, structure: Structure): unknown {
  if (config === undefined || config === null) return live
  const [from, by] = [shapeOf(live, structure), shapeOf(config, structure)]
  if (from.type === 'leaf' || by.type === 'leaf') return config
  const [old, young] = [contentOf(from), contentOf(by)]
  const merged = (element: string) => merge(old.get(element), young.get(element), below(structure, element))
  if (by.type === 'list') return mergedOrder([...old.keys()], [...young.keys()]).map(merged)
  return Object.fromEntries(
    [...new Set([...old.keys(), ...young.keys()])].map((element) => [element.slice(2), merged(element)]),
  )
}

/** Items keep the order of `config`; those that only `live` has stay behind what they stood behind. */
function mergedOrder(live: readonly string[], config: readonly string[]): string[] {
  const [inLive, inConfig] = [new Set(live), new Set(config)]
  const shared = config.filter((element) => inLive.has(element))
  const order: string[] = []
  const done = new Set<string>()
  let [left, right, next] = [0, 0, 0]
  const take = (element: string) => {
    order.push(element)
    done.add(element)
    if (shared[next] === element) next++
  }
  while (left < live.length || right < config.length) {
    const [ours, theirs] = [live[left], config[right]]
    if (ours !== undefined && theirs !== undefined) {
      if (ours === theirs) {
        take(theirs)
        left++
        right++
        continue
      }
      if (inConfig.has(ours) && shared[next] !== undefined && shared[next] !== ours) {
        left++
        continue
      }
    }
    if (ours !== undefined && !inConfig.has(ours)) {
      take(ours)
      left++
      continue
    }
    if (ours !== undefined && done.has(ours)) left++
    if (theirs !== undefined) {
      take(theirs)
      right++
    }
  }
  return order
}

/** The value without the fields and items of `set`; undefined when nothing is left (typed/remove.go). */
export function without(value: unknown, set: FieldSet, structure: Structure): unknown {
  const shape = shapeOf(value, structure)
  if (shape.type === 'leaf' || isEmpty(set)) return value
  const kept = [...contentOf(shape)].flatMap(([element, item]) => {
    const child = set.children.get(element) ?? noFields
    if (child.member) return []
    const rest = without(item, child, below(structure, element))
    return rest === undefined ? [] : [[element, rest] as const]
  })
  if (kept.length === 0) return undefined
  if (shape.type === 'list') return kept.map(([, item]) => item)
  return Object.fromEntries(kept.map(([element, item]) => [element.slice(2), item]))
}

/** The set with every named field that something of it lies in (fieldpath, EnsureNamedFieldsAreMembers). */
export function withNamedFields(set: FieldSet, structure: Structure): FieldSet {
  const children = [...set.children].map(([element, child]) => {
    const inner = withNamedFields(child, below(structure, element))
    return [element, { ...inner, member: inner.member || isNamed(structure, element) }] as const
  })
  return setOf(set.member, children)
}
