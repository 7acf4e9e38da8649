import { isDeepStrictEqual } from 'node:util'
import {
  credentialKey,
  satisfiesCapture,
  type Scope,
  type ScopedBinding,
  type ScopedCredential,
  type ScopedIdentity,
  type ScopedService,
  type ScopeUpdate,
} from '#model/scope'
import type { SpiffeId } from '#model/identity'
import type { Credential } from '#model/credential'
import { placesOf, type PlannedIdentity, type Plan } from './plan.ts'
import type { LeftOut } from './room.ts'
import type { FollowingDaemon } from './ports.ts'

export function isInScope(
  { where }: PlannedIdentity,
  daemon: { readonly workloadId: string; readonly groups: readonly string[] },
): boolean {
  return where.kind === 'daemon' ? where.id === daemon.workloadId : daemon.groups.includes(where.id)
}

function identitiesOn({ identitiesAt }: Plan, daemon: FollowingDaemon): PlannedIdentity[] {
  return placesOf(daemon).flatMap((place) => [...(identitiesAt.get(place) ?? [])])
}

/** Of some workloads only. */
function identitiesOf(
  plan: Plan,
  daemon: FollowingDaemon,
  workloads: ReadonlySet<SpiffeId>,
): PlannedIdentity[] {
  return [...workloads].flatMap((spiffeId) =>
    (plan.identitiesOf.get(spiffeId) ?? []).filter((identity) => isInScope(identity, daemon)),
  )
}

/** What a daemon got when it was last looked at, and the only workloads of which something else is due to it since. */
export interface Earlier {
  readonly scope: Scope
  readonly changed: ReadonlySet<SpiffeId>
}

/**
 * What one daemon gets, the same with `earlier` as without. SECURITY: only the identities whose scope names it, only
 * the bindings of these, only the Services and credentials of these bindings (design invariant 3), and no credential
 * for a binding that demands a stronger capture level than it has (rule 12). What does not fit is left out (`room.ts`).
 */
export function scopeFor(
  plan: Plan,
  daemon: FollowingDaemon,
  credentialOf: (key: string) => Credential | undefined,
  { earlier, leftOut = plan.leftOut(placesOf(daemon)) }: { earlier?: Earlier; leftOut?: LeftOut } = {},
): Scope {
  const identities = new Map<string, ScopedIdentity>()
  const spiffeIds = new Set<SpiffeId>()
  for (const { scoped } of earlier
    ? identitiesOf(plan, daemon, earlier.changed)
    : identitiesOn(plan, daemon)) {
    if (leftOut.workloads.has(scoped.spiffeId)) continue
    identities.set(scoped.name, scoped)
    spiffeIds.add(scoped.spiffeId)
  }
  const services = new Map<string, ScopedService>()
  const bindings = new Map<string, ScopedBinding>()
  const credentials = new Map<string, ScopedCredential>()
  for (const spiffeId of spiffeIds) {
    for (const binding of plan.bindingsOf.get(spiffeId) ?? []) {
      const { key, scoped } = binding
      if (leftOut.bindings.has(scoped.name)) continue
      bindings.set(scoped.name, scoped)
      for (const service of binding.services) services.set(service.name, service)
      const credential = credentialOf(key)
      if (!credential || !satisfiesCapture(daemon.captureLevel, scoped.minimumCapture)) continue
      credentials.set(key, { spiffeId, sourceName: scoped.sourceName, credential })
    }
  }
  const now = { identities, services, bindings, credentials }
  return earlier ? merged(earlier, now) : now
}

/** `now`, which is all that the changed workloads have, with what the others had before. */
function merged({ scope, changed }: Earlier, now: Scope): Scope {
  const bindings = replaced(scope.bindings, now.bindings, { changed })
  const services = new Map<string, ScopedService>()
  for (const { serviceNames } of bindings.values()) {
    // A Service has changed only where all workloads have whose bindings name it.
    for (const name of serviceNames) services.set(name, (now.services.get(name) ?? scope.services.get(name))!)
  }
  return {
    identities: replaced(scope.identities, now.identities, { changed }),
    services,
    bindings,
    credentials: replaced(scope.credentials, now.credentials, { changed, same: sameCredential }),
  }
}

/** `before` with `now` in place of what the changed workloads had; the very same map where that is equal. */
function replaced<T extends { readonly spiffeId: SpiffeId }>(
  before: ReadonlyMap<string, T>,
  now: ReadonlyMap<string, T>,
  { changed, same = Object.is }: { changed: ReadonlySet<SpiffeId>; same?: (a: T, b: T) => boolean },
): ReadonlyMap<string, T> {
  const isKept = (key: string, item: T) => {
    const present = now.get(key)
    return present !== undefined && same(item, present)
  }
  const stale: string[] = []
  let kept = 0
  // For each daemon of a group at each change: mostly nothing has to be copied.
  for (const [key, item] of before) {
    if (!changed.has(item.spiffeId)) continue
    if (isKept(key, item)) kept += 1
    else stale.push(key)
  }
  if (stale.length === 0 && kept === now.size) return before
  const after = new Map(before)
  for (const key of stale) after.delete(key)
  for (const [key, item] of now) after.set(key, item)
  return after
}

export type Delta = Pick<ScopeUpdate, 'upsert' | 'remove'>

// A credential is the same only when it is the very same: comparing would not look into its secrets.
function sameCredential(a: ScopedCredential, b: ScopedCredential): boolean {
  return a.credential === b.credential
}

interface Changed<T> {
  readonly upsert: readonly T[]
  readonly remove: readonly string[]
}

// For each daemon of a group at each change: mostly nothing has, and nothing is made for that.
const unchanged: Changed<never> = { upsert: [], remove: [] }

function changed<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean = isDeepStrictEqual,
): Changed<T> {
  if (before === after) return unchanged
  const upsert: T[] = []
  const remove: string[] = []
  for (const [key, item] of after) {
    const known = before.get(key)
    if (known !== item && (known === undefined || !same(known, item))) upsert.push(item)
  }
  for (const key of before.keys()) if (!after.has(key)) remove.push(key)
  return upsert.length + remove.length === 0 ? unchanged : { upsert, remove }
}

/** What turns `before` into `after`; undefined when nothing does. */
export function deltaBetween(before: Scope, after: Scope): Delta | undefined {
  const identities = changed(before.identities, after.identities)
  const services = changed(before.services, after.services)
  const bindings = changed(before.bindings, after.bindings)
  const credentials = changed(before.credentials, after.credentials, sameCredential)
  if ([identities, services, bindings, credentials].every((part) => part === unchanged)) return undefined
  return {
    upsert: {
      identities: identities.upsert,
      services: services.upsert,
      bindings: bindings.upsert,
      credentials: credentials.upsert,
    },
    remove: {
      identities: identities.remove,
      services: services.remove,
      bindings: bindings.remove,
      credentials: credentials.remove,
    },
  }
}

/** Names of the bindings that an update of `scope` touches, themselves or through what they need. */
export function touchedBindings(scope: Scope, { upsert }: Delta): string[] {
  const services = new Set(upsert.services.map(({ name }) => name))
  const bindings = new Set(upsert.bindings.map(({ name }) => name))
  const spiffeIds = new Set(upsert.identities.map(({ spiffeId }) => spiffeId))
  return [...scope.bindings.values()]
    .filter(
      ({ name, spiffeId, serviceNames }) =>
        bindings.has(name) ||
        spiffeIds.has(spiffeId) ||
        serviceNames.some((service) => services.has(service)),
    )
    .map(({ name }) => name)
}

/** The credentials that an update brings where there was none. */
export function newCredentials(before: Scope, { upsert }: Delta): ScopedCredential[] {
  return upsert.credentials.filter(
    ({ spiffeId, sourceName }) => !before.credentials.has(credentialKey(spiffeId, sourceName)),
  )
}
