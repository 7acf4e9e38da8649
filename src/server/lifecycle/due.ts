import {
  definitionOf,
  kindNamed,
  kinds,
  namespaceOf,
  type OwnerReference,
  type Resource,
} from '#model/resource'
import {
  contentFinalizer,
  foregroundFinalizer,
  isBeingDeleted,
  orphanFinalizer,
  type PropagationPolicy,
  type ResourceCache,
} from '#server/store'

/** What has to be done for objects whose owner, dependents or namespace are gone or going. */
export type Due =
  | {
      readonly type: 'delete'
      readonly object: Resource
      readonly policy: PropagationPolicy
      /** Of an object that nobody owns any more, or of one that lies in a namespace which goes. */
      readonly because: 'owners' | 'namespace'
    }
  | { readonly type: 'release'; readonly object: Resource; readonly finalizer: string }
  | { readonly type: 'disown'; readonly object: Resource; readonly uids: ReadonlySet<string> }

export type Objects = Pick<ResourceCache, 'get' | 'list'>

const has = ({ metadata }: Resource, finalizer: string) => metadata.finalizers?.includes(finalizer) === true

const ownersOf = ({ metadata }: Resource): readonly OwnerReference[] => metadata.ownerReferences ?? []

/** Whether an object may need something: one with owners, or that is being deleted. */
export function mayBeDue(object: Resource): boolean {
  return isBeingDeleted(object) || ownersOf(object).length > 0
}

/** The owner that a reference means: undefined when it is gone, `unknown` when we cannot tell. */
export function ownerOf(objects: Objects, dependent: Resource, reference: OwnerReference) {
  const definition = kindNamed(reference.apiVersion, reference.kind)
  if (!definition) return 'unknown'
  const namespace = namespaceOf(dependent)
  // An owner lies in the same namespace or in none; anything else is a mistake that must not delete anything.
  if (definition.scope === 'Namespaced' && namespace === '') return 'unknown'
  const owner = objects.get(definition.kind, definition.scope === 'Cluster' ? '' : namespace, reference.name)
  return owner?.metadata.uid === reference.uid ? owner : undefined
}

/**
 * What is due for objects that may need something, as Kubernetes' garbage collector does it: an object goes when
 * the last of its owners is gone, or waits for it to go.
 */
export function due(candidates: Iterable<Resource>, objects: Objects): readonly Due[] {
  const all = [...candidates]
  const dependents = Map.groupBy(
    all.flatMap((object) => ownersOf(object).map((reference) => ({ object, reference }))),
    ({ reference }) => reference.uid,
  )
  const blocked = blockedIn(all, objects)
  return all.flatMap((object) =>
    isBeingDeleted(object)
      ? dueOfGoing(object, dependents.get(object.metadata.uid) ?? [], {
          objects,
          isBlocked: blocked.has(object.metadata.uid),
        })
      : dueOfOwned(object, dependents.has(object.metadata.uid), objects),
  )
}

const isWaiting = (object: Resource) => isBeingDeleted(object) && has(object, foregroundFinalizer)

/**
 * The uids of objects that wait in the foreground, and rightly so: for something that waits for nothing itself, or for
 * what waits for that. Owners in a circle wait for each other alone, and would do so for ever.
 * SECURITY: for none of another namespace, whose writer could keep here what he may not even change.
 */
function blockedIn(all: readonly Resource[], objects: Objects): ReadonlySet<string> {
  const blockedBy = (object: Resource) =>
    ownersOf(object)
      .filter(({ blockOwnerDeletion }) => blockOwnerDeletion === true)
      .filter((reference) => typeof ownerOf(objects, object, reference) === 'object')
      .map(({ uid }) => uid)
  const waiting = new Map(all.filter(isWaiting).map((object) => [object.metadata.uid, object]))
  const awaited = new Set(all.flatMap(blockedBy))
  const blocked = new Set<string>()
  const blocking = all.filter(({ metadata: { uid } }) => !waiting.has(uid) || !awaited.has(uid))
  // What is added meanwhile is walked through, too.
  for (const object of blocking) {
    for (const uid of blockedBy(object)) {
      const owner = waiting.get(uid)
      if (!owner || blocked.has(uid)) continue
      blocked.add(uid)
      blocking.push(owner)
    }
  }
  return blocked
}

function dueOfOwned(object: Resource, hasDependents: boolean, objects: Objects): Due[] {
  const owners = ownersOf(object).map((reference) => ({
    reference,
    owner: ownerOf(objects, object, reference),
  }))
  const awaited = ({ owner }: (typeof owners)[number]) => typeof owner === 'object' && isWaiting(owner)
  const solid = owners.filter((entry) => entry.owner !== undefined && !awaited(entry))
  if (solid.length === owners.length) return []
  if (solid.length > 0) {
    const lost = owners.filter((entry) => !solid.includes(entry)).map(({ reference }) => reference.uid)
    return [{ type: 'disown', object, uids: new Set(lost) }]
  }
  if (owners.some(awaited)) {
    return [
      { type: 'delete', object, policy: hasDependents ? 'Foreground' : 'Background', because: 'owners' },
    ]
  }
  return [
    {
      type: 'delete',
      object,
      policy: has(object, orphanFinalizer) ? 'Orphan' : 'Background',
      because: 'owners',
    },
  ]
}

function dueOfGoing(
  object: Resource,
  dependents: readonly { readonly object: Resource }[],
  { objects, isBlocked }: { objects: Objects; isBlocked: boolean },
): Due[] {
  if (has(object, orphanFinalizer)) {
    const uids = new Set([object.metadata.uid])
    if (dependents.length === 0) return [{ type: 'release', object, finalizer: orphanFinalizer }]
    return dependents.map((dependent) => ({ type: 'disown', object: dependent.object, uids }))
  }
  if (has(object, foregroundFinalizer)) {
    return isBlocked ? [] : [{ type: 'release', object, finalizer: foregroundFinalizer }]
  }
  if (object.kind !== 'Namespace' || !has(object, contentFinalizer)) return []
  const content = contentOf(objects, object.metadata.name)
  if (content.length === 0) return [{ type: 'release', object, finalizer: contentFinalizer }]
  const present = content.filter((item) => !isBeingDeleted(item))
  return present.map((item) => ({ type: 'delete', object: item, policy: 'Background', because: 'namespace' }))
}

function contentOf(objects: Objects, namespace: string): readonly Resource[] {
  return kinds
    .filter(({ kind }) => definitionOf(kind).scope === 'Namespaced' && kind !== 'Event')
    .flatMap(({ kind }) => objects.list(kind, namespace))
}
