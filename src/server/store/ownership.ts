import { Fault } from '#base/errors'
import {
  applied,
  conflictTexts,
  decodeManagers,
  structureOf,
  updated,
  type Conflict,
  type Manager,
  type Structure,
} from '#model/managed-fields'
import {
  definitionOf,
  duplicateItems,
  invalidResource,
  subjectOf,
  type Kind,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import type { RefusalCause } from './resource-object.ts'

/** Whose the fields are that a write changes. */
export interface Writer {
  /** Name of the field manager. */
  readonly manager: string
  readonly subresource?: 'status' | undefined
  /** RFC 3339, whole seconds. */
  readonly at: string
}

export function structureOfKind(kind: Kind): Structure {
  return structureOf(definitionOf(kind).schema)
}

/** The managers of a stored object; none when nobody kept count. */
export function managersOf(object: Resource | undefined): readonly Manager[] {
  return decodeManagers(object?.metadata.managedFields) ?? []
}

/**
 * The managers that a writer declares: those of the object unless he lists others, and none at all by
 * `managedFields: [{}]`, as Kubernetes has it.
 */
export function declaredManagers(declared: readonly unknown[] = [], before: Resource | undefined) {
  const [first] = declared
  if (declared.length === 0) return managersOf(before)
  if (declared.length === 1 && typeof first === 'object' && Object.keys(first!).length === 0) return []
  return decodeManagers(declared) ?? managersOf(before)
}

/** Who owns what after an object was written in place of another, given who owned what before. */
export function managersAfter(
  managers: readonly Manager[],
  before: object,
  after: { readonly kind: Kind },
  { manager, subresource, at }: Writer,
): readonly Manager[] {
  const by = { name: manager, operation: 'Update' as const, ...(subresource && { subresource }) }
  return updated(managers, { before, after, by, at }, structureOfKind(after.kind))
}

/**
 * Applies a configuration to a stored object, or to none.
 * @throws Fault RESOURCE_CONFLICT with its field conflicts when others own what it changes, unless `force`;
 *   RESOURCE_INVALID for a list with an item twice, which merging would hide
 */
export function applyConfiguration(
  { before, live, config }: { before: Resource | undefined; live: object; config: ResourceDraft },
  { manager, subresource, at }: Writer,
  force: boolean,
): { object: unknown; managers: readonly Manager[] } {
  const { kind, apiVersion } = config
  const definition = definitionOf(kind)
  const duplicates = duplicateItems(config, definition.schema)
  if (duplicates.length > 0) throw invalidResource(subjectOf(definition, config.metadata.name), duplicates)
  const structure = structureOfKind(kind)
  const known = managersOf(before)
  // What was written when nobody kept count belongs to somebody all the same.
  const first = { name: 'before-first-apply', operation: 'Update' as const }
  const { status, ...rest } = live as { status?: unknown }
  const written = subresource === undefined ? rest : { status }
  const managers =
    before && known.length === 0
      ? updated([], { before: {}, after: written, by: first, at }, structure)
      : known
  const lastApplied = manager === upgrading ? lastAppliedTo(before) : undefined
  const wish = { live, config, by: manager, at, force, lastApplied }
  const result = applied(managers, wish, structure, subresource)
  if (!result.ok) throw applyConflict(result.conflicts, apiVersion)
  const object = result.object as Resource
  if (manager !== upgrading || lastAppliedTo(object) === undefined) return result
  return { ...result, object: withLastApplied(object, config) }
}

// Kubernetes lets this manager alone go from applying in the client to applying in the server; whoever does not
// want that gives another (fieldmanager/lastappliedmanager.go, lastappliedupdater.go).
const upgrading = 'kubectl'
const annotation = 'kubectl.kubernetes.io/last-applied-configuration'

/** What kubectl applied last from the client, as far as that is known. */
function lastAppliedTo(object: Resource | undefined): object | undefined {
  const text = object?.metadata.annotations?.[annotation]
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** For whoever applies from the client again, the configuration that was applied in the server meanwhile. */
function withLastApplied(object: Resource, config: object): Resource {
  const { metadata } = object
  const annotations = { ...metadata.annotations, [annotation]: `${JSON.stringify(config)}\n` }
  return { ...object, metadata: { ...metadata, annotations } } as Resource
}

function applyConflict(conflicts: readonly Conflict[], apiVersion: string): Fault {
  const { message, causes } = conflictTexts(conflicts, apiVersion)
  const cause: readonly RefusalCause[] = causes.map((detail) => ({
    reason: 'FieldManagerConflict',
    ...detail,
  }))
  return new Fault('RESOURCE_CONFLICT', message, { publicText: message, cause })
}
