import { forbidden, type FieldError, type Kind, type Resource } from '#model/resource'

/** What becomes of the objects that name a deleted one as their owner. */
export type PropagationPolicy = 'Orphan' | 'Background' | 'Foreground'

/** What keeps an object that is deleted until its dependents are deleted, or have no owner. */
export const foregroundFinalizer = 'foregroundDeletion'
export const orphanFinalizer = 'orphan'
/** What keeps a Namespace that is deleted until nothing lies in it. */
export const contentFinalizer = 'kubernetes'

export function isBeingDeleted({ metadata }: { metadata: { deletionTimestamp?: string } }): boolean {
  return metadata.deletionTimestamp !== undefined
}

/** The finalizers that must go before an object is deleted that somebody wants to be deleted in this way. */
export function finalizersOnDeletion(
  {
    kind,
    metadata,
  }: { kind: Kind; metadata: Pick<Resource['metadata'], 'finalizers' | 'deletionTimestamp'> },
  policy: PropagationPolicy | undefined,
): readonly string[] {
  const { finalizers = [] } = metadata
  const wanted = { Orphan: [orphanFinalizer], Foreground: [foregroundFinalizer], Background: [] }
  const others = finalizers.filter((name) => name !== orphanFinalizer && name !== foregroundFinalizer)
  const kept = policy === undefined ? finalizers : [...others, ...wanted[policy]]
  const content = kind === 'Namespace' && metadata.deletionTimestamp === undefined ? [contentFinalizer] : []
  return [...new Set([...kept, ...content])]
}

/** No finalizer can be added to what is being deleted. */
export function finalizerErrors(before: Resource, after: Resource): FieldError[] {
  if (!isBeingDeleted(before)) return []
  const known = new Set(before.metadata.finalizers)
  const added = (after.metadata.finalizers ?? []).filter((name) => !known.has(name))
  if (added.length === 0) return []
  const names = added.map((name) => JSON.stringify(name)).join(', ')
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${names}}`
  return [forbidden('metadata.finalizers', detail)]
}
