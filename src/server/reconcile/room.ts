import type { SpiffeId } from '#model/identity'
import type { ScopedBinding, ScopedIdentity, ScopedService } from '#model/scope'
import { placeOf, type Place, type Plan, type WorkloadPlan } from './plan.ts'

/**
 * What a daemon may get for its groups, and as much again for itself alone, as it is counted here. Were a scope full,
 * and all credentials twice what they count, an update that replaced all of it would still be below the 64 MiB that a
 * daemon takes in one message.
 */
export const maxScopeBytes = 12 << 20
/** What a credential counts, which is not known here: exchanges take none with a token of more than twice this. */
const credentialBytes = 4 << 10
/** What an item counts besides what it says: many small ones take room on a node, and its time, too. */
const itemBytes = 512
/** The same for a selector and each key in it: an update that took a worker long would have it killed. */
const selectorBytes = 64
/** What a host counts, which is short: the certificates of the daemon are constrained to it. */
const hostBytes = 2 << 10

/** What does not fit into the scope of a daemon. */
export interface LeftOut {
  /** Those of which it gets nothing. */
  readonly workloads: ReadonlySet<SpiffeId>
  /** By name in scopes, bindings that it does not get, with their workloads. */
  readonly bindings: ReadonlyMap<string, SpiffeId>
  /** Whose they are. */
  readonly namespaces: ReadonlySet<string>
}

export const nothingLeftOut: LeftOut = { workloads: new Set(), bindings: new Map(), namespaces: new Set() }

/** Knows what fits into scopes. What is counted is kept up to date; a choice is made only where not all fits. */
export interface Room {
  /** Counts what there is of a workload, or takes it out. */
  count(workload: Pick<WorkloadPlan, 'identities' | 'bindings'>, action: 'add' | 'delete'): void
  /** What a daemon that is these places goes without. */
  readonly leftOut: (places: readonly Place[]) => LeftOut
}

/** What there is at one place. */
interface Tally {
  bytes: number
  /** How many bindings have a Service, by its name and size. */
  readonly services: Map<string, number>
}

/** What is taken or left out as a whole: a workload with its identities, or a binding. */
interface Part {
  /** Later for what is younger. */
  readonly order: string
  readonly bytes: number
  readonly services: readonly ScopedService[]
  readonly spiffeId: SpiffeId
  /** Undefined: the workload. */
  readonly binding?: string
}

function sizeOf(item: ScopedIdentity | ScopedService | ScopedBinding): number {
  return Buffer.byteLength(JSON.stringify(item)) + itemBytes
}

/** How much of a scope an identity takes. */
export function sizeOfIdentity(item: ScopedIdentity): number {
  const selectors = item.selectors.reduce((sum, selector) => sum + 1 + Object.keys(selector).length, 0)
  return sizeOf(item) + selectors * selectorBytes
}

/** The same of a binding, with the credential that comes with it. */
export function sizeOfBinding(item: ScopedBinding): number {
  return sizeOf(item) + itemBytes + credentialBytes
}

// Few, and with many bindings each.
const serviceSizes = new WeakMap<ScopedService, number>()

function sizeOfService(service: ScopedService): number {
  const known = serviceSizes.get(service) ?? sizeOf(service) + service.addresses.length * hostBytes
  serviceSizes.set(service, known)
  return known
}

type Planned = Pick<Plan, 'identitiesAt' | 'bindingsOf'>

/** The parts of what is at some places, by namespace, oldest first; the name decides between those of one second. */
function partsAt(places: readonly Place[], { identitiesAt, bindingsOf }: Planned): Map<string, Part[]> {
  const parts = new Map<string, Part[]>()
  const found = places.flatMap((place) => [...(identitiesAt.get(place) ?? [])])
  for (const [spiffeId, identities] of Map.groupBy(found, ({ scoped }) => scoped.spiffeId)) {
    const { namespace } = identities[0]!
    const own = parts.get(namespace) ?? []
    parts.set(namespace, own)
    const orders = identities.map(({ createdAt, scoped }) => `${createdAt} 1 ${scoped.name}`)
    const bytes = identities.reduce((sum, identity) => sum + identity.bytes, 0)
    own.push({ order: orders.sort()[0]!, bytes, services: [], spiffeId })
    for (const { createdAt, bytes, services, scoped } of bindingsOf.get(spiffeId) ?? [])
      own.push({ order: `${createdAt} 2 ${scoped.name}`, bytes, services, spiffeId, binding: scoped.name })
  }
  for (const own of parts.values()) own.sort((a, b) => (a.order < b.order ? -1 : 1))
  return parts
}

/** Takes what fits, in order, and returns what does not. */
function takeWithin(limit: number, parts: readonly Part[]): { taken: number; rest: readonly Part[] } {
  const services = new Set<string>()
  let taken = 0
  const rest = parts.filter((part) => {
    const news = part.services.filter(({ name }) => !services.has(name))
    const bytes = news.reduce((sum, service) => sum + sizeOfService(service), part.bytes)
    if (taken + bytes > limit) return true
    taken += bytes
    for (const { name } of news) services.add(name)
    return false
  })
  return { taken, rest }
}

/**
 * SECURITY: who may write one namespace could fill the scopes of daemons that others need. So namespaces share them
 * equally: one that takes no more than its share loses nothing, and what it does not take is for the others. Of one
 * that wants more the oldest is taken, and what is large comes in nobody else's way.
 */
function choose(limit: number, parts: ReadonlyMap<string, readonly Part[]>): LeftOut {
  const wishes = [...parts].map(([namespace, own]) => ({
    namespace,
    own,
    bytes: takeWithin(Infinity, own).taken,
  }))
  let left = limit
  let others = wishes.length
  const workloads = new Set<SpiffeId>()
  const bindings = new Map<string, SpiffeId>()
  const namespaces = new Set<string>()
  for (const { namespace, own, bytes } of wishes.sort((a, b) => a.bytes - b.bytes)) {
    const share = left / others--
    left -= Math.min(bytes, share)
    if (bytes <= share) continue
    const { rest } = takeWithin(share, own)
    for (const { spiffeId, binding } of rest) {
      if (binding === undefined) workloads.add(spiffeId)
      else bindings.set(binding, spiffeId)
    }
    for (const { spiffeId, binding } of own)
      if (binding !== undefined && workloads.has(spiffeId)) bindings.set(binding, spiffeId)
    namespaces.add(namespace)
  }
  return { workloads, bindings, namespaces }
}

/** `limit`: as `maxScopeBytes`. */
export function openRoom(plan: Planned, limit = maxScopeBytes): Room {
  const tallies = new Map<Place, Tally>()
  /** What was chosen for the groups of daemons, or for one daemon, where not all fits. */
  const chosen = new Map<string, { readonly places: readonly Place[]; readonly leftOut: LeftOut }>()

  function leftOutAt(places: readonly Place[]): LeftOut {
    let bytes = 0
    for (const place of places) bytes += tallies.get(place)?.bytes ?? 0
    if (bytes <= limit) return nothingLeftOut
    const there = places.filter((place) => tallies.has(place)).sort()
    const key = JSON.stringify(there)
    const known = chosen.get(key) ?? { places: there, leftOut: choose(limit, partsAt(there, plan)) }
    chosen.set(key, known)
    return known.leftOut
  }

  return {
    count({ identities, bindings }, action) {
      const sign = action === 'add' ? 1 : -1
      for (const [place, here] of Map.groupBy(identities, placeOf)) {
        const tally = tallies.get(place) ?? { bytes: 0, services: new Map() }
        tallies.set(place, tally)
        for (const { bytes } of [...here, ...bindings]) tally.bytes += sign * bytes
        for (const service of bindings.flatMap(({ services }) => services)) {
          const size = sizeOfService(service)
          const key = `${service.name} ${size}`
          const before = tally.services.get(key) ?? 0
          const after = before + sign
          if (before === 0 || after === 0) tally.bytes += sign * size
          if (after === 0) tally.services.delete(key)
          else tally.services.set(key, after)
        }
        if (tally.bytes === 0) tallies.delete(place)
        for (const [key, { places }] of chosen) if (places.includes(place)) chosen.delete(key)
      }
    },
    leftOut([own, ...groups]) {
      const parts = [own ? leftOutAt([own]) : nothingLeftOut, leftOutAt(groups)] as const
      const [some, ...more] = parts.filter((part) => part.namespaces.size > 0)
      if (!some) return nothingLeftOut
      return more.reduce(
        (a, b) => ({
          workloads: a.workloads.union(b.workloads),
          bindings: new Map([...a.bindings, ...b.bindings]),
          namespaces: a.namespaces.union(b.namespaces),
        }),
        some,
      )
    },
  }
}

/** Workloads of which a daemon gets something else with `after` than with `before`. */
export function differing(before: LeftOut, after: LeftOut): ReadonlySet<SpiffeId> {
  if (before === after) return new Set()
  const bindings = [...before.bindings, ...after.bindings].filter(
    ([name]) => before.bindings.has(name) !== after.bindings.has(name),
  )
  return new Set([
    ...before.workloads.symmetricDifference(after.workloads),
    ...bindings.map(([, spiffeId]) => spiffeId),
  ])
}
