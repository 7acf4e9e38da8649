/**
 * A set of field paths, as a tree. An edge is a path element as FieldsV1 spells it: `f:name` a field, `k:{...}` the
 * item of a list with these keys, `v:...` the item of a set. `member` says whether the path up to here is in the set.
 */
export interface FieldSet {
  readonly member: boolean
  readonly children: ReadonlyMap<string, FieldSet>
}

export const noFields: FieldSet = { member: false, children: new Map() }

export const oneField: FieldSet = { member: true, children: new Map() }

export function isEmpty({ member, children }: FieldSet): boolean {
  return !member && children.size === 0
}

/** A set of these children; those that are empty leave no trace. */
export function setOf(member: boolean, children: Iterable<readonly [string, FieldSet]>): FieldSet {
  return { member, children: new Map([...children].filter(([, child]) => !isEmpty(child))) }
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map(a.children)
  for (const [element, child] of b.children)
    children.set(element, union(children.get(element) ?? noFields, child))
  return { member: a.member || b.member, children }
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return setOf(
    a.member && b.member,
    [...a.children].map(([element, child]) => [
      element,
      intersection(child, b.children.get(element) ?? noFields),
    ]),
  )
}

/** The paths of `a` that are not in `b`; what lies below a path of `b` stays. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return setOf(
    a.member && !b.member,
    [...a.children].map(([element, child]) => [
      element,
      difference(child, b.children.get(element) ?? noFields),
    ]),
  )
}

export function sameFields(a: FieldSet, b: FieldSet): boolean {
  return isEmpty(difference(a, b)) && isEmpty(difference(b, a))
}

/** Every path of the set, as `.spec.list[name="a"].value`. */
export function pathsOf(set: FieldSet, prefix = ''): string[] {
  const below = [...set.children].flatMap(([element, child]) =>
    pathsOf(child, prefix + formatElement(element)),
  )
  return set.member ? [prefix, ...below] : below
}

function formatElement(element: string): string {
  const text = element.slice(2)
  if (element.startsWith('f:')) return `.${text}`
  if (element.startsWith('v:')) return `[=${text}]`
  const keys = Object.entries(JSON.parse(text) as object)
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`
}

/** JSON of a set in the format FieldsV1 of Kubernetes. */
export type FieldsV1 = { readonly [element: string]: FieldsV1 }

export function encodeFields({ member, children }: FieldSet): FieldsV1 {
  const sorted = [...children].sort(([a], [b]) => (a < b ? -1 : 1))
  const encoded = sorted.map(([element, child]) => [element, encodeFields(child)] as const)
  return Object.fromEntries(member && encoded.length > 0 ? [['.', {}], ...encoded] : encoded)
}

const maxDepth = 64

/** @returns undefined when it is not FieldsV1 */
export function decodeFields(value: unknown): FieldSet | undefined {
  const decoded = decodeNode(value, 0)
  return decoded && { ...decoded, member: false }
}

function decodeNode(value: unknown, depth: number): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > maxDepth)
    return undefined
  const children = new Map<string, FieldSet>()
  const entries = Object.entries(value)
  for (const [element, below] of entries) {
    if (element === '.') continue
    const child = isElement(element) ? decodeNode(below, depth + 1) : undefined
    if (!child) return undefined
    children.set(element, child)
  }
  return { member: entries.length === 0 || Object.hasOwn(value, '.'), children }
}

function isElement(element: string): boolean {
  const text = element.slice(2)
  if (element.startsWith('f:')) return true
  try {
    const value: unknown = JSON.parse(text)
    if (element.startsWith('k:')) return typeof value === 'object' && value !== null && !Array.isArray(value)
    return element.startsWith('v:')
  } catch {
    return false
  }
}
