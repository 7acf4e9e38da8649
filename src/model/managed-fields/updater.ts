import { difference, intersection, isEmpty, noFields, pathsOf, union, type FieldSet } from './field-set.ts'
import type { Structure } from './structure.ts'
import { compare, fieldsIn, merge, without, withNamedFields } from './typed-value.ts'

/** Who owns fields: a manager that applies configurations, or one that wrote in any other way. */
export interface ManagerId {
  readonly name: string
  readonly operation: 'Apply' | 'Update'
  /** `status` for what was written through that path. */
  readonly subresource?: string | undefined
}

export interface Manager extends ManagerId {
  readonly fields: FieldSet
  /** RFC 3339: when it last took or gave up fields. */
  readonly time?: string | undefined
}

/** A field that a configuration sets otherwise than the manager who owns it. */
export interface Conflict {
  readonly manager: Manager
  readonly path: string
}

export function isSameManager(a: ManagerId, b: ManagerId): boolean {
  return a.name === b.name && a.operation === b.operation && a.subresource === b.subresource
}

// Metadata that the server sets, and what names the object: nobody's own (fieldmanager/stripmeta.go).
const named = (names: readonly string[]): FieldSet => ({
  member: true,
  children: new Map(names.map((name) => [`f:${name}`, { member: true, children: new Map() }])),
})
const unowned: FieldSet = {
  member: false,
  children: new Map([
    ['f:apiVersion', named([])],
    ['f:kind', named([])],
    [
      'f:metadata',
      named([
        'name',
        'namespace',
        'creationTimestamp',
        'deletionTimestamp',
        'deletionGracePeriodSeconds',
        'selfLink',
        'uid',
        'generation',
        'managedFields',
        'resourceVersion',
      ]),
    ],
  ]),
}

/**
 * Who owns what after `by` wrote `after` in place of `before`, in any way but by applying a configuration: what it
 * changed is its own, and nobody else's (structured-merge-diff, merge/update.go, Update).
 */
export function updated(
  managers: readonly Manager[],
  { before, after, by, at }: { before: unknown; after: unknown; by: ManagerId; at: string },
  structure: Structure,
): readonly Manager[] {
  const { added, modified, removed } = compare(before, after, structure)
  const taken = difference(union(added, modified), unowned)
  const lost = union(union(added, modified), removed)
  const present = managers.find((manager) => isSameManager(manager, by))
  const others = managers
    .filter((manager) => manager !== present)
    .map((manager) => ({ ...manager, fields: difference(manager.fields, lost) }))
  const fields = union(difference(present?.fields ?? noFields, removed), taken)
  const own: Manager = { ...by, fields, time: isEmpty(taken) ? present?.time : at }
  return [...others, own].filter((manager) => !isEmpty(manager.fields))
}

export type Applied =
  | { readonly ok: true; readonly object: unknown; readonly managers: readonly Manager[] }
  | { readonly ok: false; readonly conflicts: readonly Conflict[] }

/**
 * Applies a configuration: the object says all that it says, and no more what the same manager applied before and
 * nobody else owns. Fields that others own with another value are conflicts, unless it is forced
 * (structured-merge-diff, merge/update.go, Apply).
 */
export function applied(
  managers: readonly Manager[],
  {
    live,
    config,
    by,
    at,
    force,
    lastApplied,
  }: {
    live: unknown
    config: unknown
    by: string
    at: string
    force: boolean
    /** A configuration that the same program applied from the client: its fields are no conflicts. */
    lastApplied?: unknown
  },
  structure: Structure,
  subresource?: string,
): Applied {
  const id: ManagerId = { name: by, operation: 'Apply', ...(subresource !== undefined && { subresource }) }
  const last = managers.find((manager) => isSameManager(manager, id))
  const others = managers.filter((manager) => manager !== last)
  const said = fieldsIn(config, structure)
  const own: Manager = { ...id, fields: difference(said, unowned), time: at }
  const merged = merge(live, config, structure)
  // What names the object is nobody's own, and stays all the same when nothing else of its metadata does.
  const object = last ? pruned(merged, last.fields, [...others, { ...own, fields: said }], structure) : merged

  const { added, modified, removed } = compare(live, object, structure)
  const changed = union(added, modified)
  const contested = difference(changed, heldBy(lastApplied, live, structure))
  const conflicts = others.flatMap((manager) =>
    pathsOf(intersection(manager.fields, contested)).map((path) => ({ manager, path })),
  )
  if (!force && conflicts.length > 0) return { ok: false, conflicts }
  const lost = union(changed, removed)
  const kept = others.map((manager) => ({ ...manager, fields: difference(manager.fields, lost) }))
  return { ok: true, object, managers: [...kept, own].filter((manager) => !isEmpty(manager.fields)) }
}

/** The fields of a configuration that are as it set them (fieldmanager/lastappliedmanager.go). */
function heldBy(config: unknown, live: unknown, structure: Structure): FieldSet {
  if (config === undefined) return noFields
  const { added, modified, removed } = compare(config, live, structure)
  return difference(fieldsIn(config, structure), union(union(added, modified), removed))
}

/** `merged` without what the manager applied last time and, now, neither it nor anybody else owns. */
function pruned(
  merged: unknown,
  last: FieldSet,
  managers: readonly Manager[],
  structure: Structure,
): unknown {
  const complete = (set: FieldSet) => withNamedFields(set, structure)
  const owned = complete(managers.map(({ fields }) => fields).reduce(union, noFields))
  const all = complete(fieldsIn(merged, structure))
  const left = (value: unknown) => (value === undefined ? noFields : complete(fieldsIn(value, structure)))
  const stripped = without(merged, complete(last), structure)
  const ownedBack = without(merged, difference(all, union(left(stripped), owned)), structure)
  const gone = intersection(difference(all, left(ownedBack)), complete(last))
  return without(merged, gone, structure) ?? {}
}
