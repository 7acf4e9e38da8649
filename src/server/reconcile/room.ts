import type { SpiffeId } from '#model/identity'
import type { ScopedBinding, ScopedIdentity, ScopedService } from '#model/scope'
import { placeOf, type Place, type WorkloadPlan } from './plan.ts'

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
  count(workload: Workload, action: 'add' | 'delete'): void
  /** What a daemon that is these places goes without. */
  readonly leftOut: (places: readonly Place[]) => LeftOut
}

type Workload = Pick<WorkloadPlan, 'identities' | 'bindings'>

/** What there is of one namespace at one place. */
interface Tally {
  /** How many bindings have a Service, by its name and size. */
  readonly services: Map<string, number>
  readonly workloads: Set<Workload>
  /** Made when it is first asked for, and once for all daemons that are at the place beside others. */
  parts: readonly Part[] | undefined
}

const newTally = (): Tally => ({ services: new Map(), workloads: new Set(), parts: undefined })

interface AtPlace {
  bytes: number
  readonly namespaces: Map<string, Tally>
}

/** What is taken or left out as a whole: a workload with its identities, or a binding. */
interface Part {
  /** Later for what is younger; of a binding later than that of its workload. */
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

const byOrder = (a: Part, b: Part) => (a.order < b.order ? -1 : 1)

/** The parts of workloads of one namespace at a place, oldest first; the name decides between those of one second. */
function partsOf(workloads: Iterable<Workload>, place: Place): Part[] {
  const parts: Part[] = []
  for (const { identities, bindings } of workloads) {
    const here = identities.filter((identity) => placeOf(identity) === place)
    const { spiffeId } = here[0]!.scoped
    const orders = here.map(({ createdAt, scoped }) => `${createdAt} 1 ${scoped.name}`)
    const first = orders.sort()[0]!
    const bytes = here.reduce((sum, identity) => sum + identity.bytes, 0)
    parts.push({ order: first, bytes, services: [], spiffeId })
    for (const { createdAt, bytes, services, scoped } of bindings) {
      const own = `${createdAt} 2 ${scoped.name}`
      const order = own < first ? `${first} 2 ${scoped.name}` : own
      parts.push({ order, bytes, services, spiffeId, binding: scoped.name })
    }
  }
  return parts.sort(byOrder)
}

/** The parts at several places, of which a workload may be at more than one. */
function partsTogether(lists: readonly (readonly Part[])[]): readonly Part[] {
  if (lists.length === 1) return lists[0]!
  const all = new Map<string, Part>()
  for (const part of lists.flat()) {
    const key = part.binding ?? part.spiffeId
    const known = all.get(key)
    if (!known) all.set(key, part)
    else {
      const order = known.order < part.order ? known.order : part.order
      const bytes = part.binding === undefined ? known.bytes + part.bytes : part.bytes
      all.set(key, { ...part, order, bytes })
    }
  }
  return [...all.values()].sort(byOrder)
}

/**
 * Takes what fits, in order, and returns how much that is. What does not is noted: with a workload all that is bound
 * to it.
 */
function takeWithin(
  limit: number,
  parts: readonly Part[],
  { workloads, bindings }: { workloads: Set<SpiffeId>; bindings: Map<string, SpiffeId> },
): number {
  const services = new Set<string>()
  let taken = 0
  for (const part of parts) {
    let { bytes } = part
    for (const service of part.services) if (!services.has(service.name)) bytes += sizeOfService(service)
    if (part.binding !== undefined && (taken + bytes > limit || workloads.has(part.spiffeId)))
      bindings.set(part.binding, part.spiffeId)
    else if (taken + bytes > limit) workloads.add(part.spiffeId)
    else {
      taken += bytes
      for (const { name } of part.services) services.add(name)
    }
  }
  return taken
}

// Lists are kept for as long as they are the same, and asked about for all daemons at their place.
const wishes = new WeakMap<readonly Part[], number>()

/** How much room all of these would take. */
function wishOf(parts: readonly Part[]): number {
  const known =
    wishes.get(parts) ?? takeWithin(Infinity, parts, { workloads: new Set(), bindings: new Map() })
  wishes.set(parts, known)
  return known
}

/**
 * SECURITY: who may write one namespace could fill the scopes of daemons that others need. So namespaces share them
 * equally: one that takes no more than its share loses nothing, and what it does not take is for the others. Of one
 * that wants more the oldest is taken, and what is large comes in nobody else's way.
 */
function choose(limit: number, parts: ReadonlyMap<string, readonly Part[]>): LeftOut {
  const wanted = [...parts].map(([namespace, own]) => ({ namespace, own, bytes: wishOf(own) }))
  let left = limit
  let others = wanted.length
  const workloads = new Set<SpiffeId>()
  const bindings = new Map<string, SpiffeId>()
  const namespaces = new Set<string>()
  for (const { namespace, own, bytes } of wanted.sort((a, b) => a.bytes - b.bytes)) {
    const share = left / others--
    left -= Math.min(bytes, share)
    if (bytes <= share) continue
    takeWithin(share, own, { workloads, bindings })
    namespaces.add(namespace)
  }
  return { workloads, bindings, namespaces }
}

/** `limit`: as `maxScopeBytes`. */
export function openRoom(limit = maxScopeBytes): Room {
  const at = new Map<Place, AtPlace>()
  /** What was chosen for the groups of daemons, or for one daemon, where not all fits. */
  const chosen = new Map<string, { readonly places: readonly Place[]; readonly leftOut: LeftOut }>()

  /** By namespace. */
  function partsAt(places: readonly Place[]): ReadonlyMap<string, readonly Part[]> {
    const lists = new Map<string, (readonly Part[])[]>()
    for (const place of places) {
      for (const [namespace, tally] of at.get(place)!.namespaces) {
        tally.parts ??= partsOf(tally.workloads, place)
        lists.set(namespace, [...(lists.get(namespace) ?? []), tally.parts])
      }
    }
    return new Map([...lists].map(([namespace, its]) => [namespace, partsTogether(its)]))
  }

  function leftOutAt(places: readonly Place[]): LeftOut {
    let bytes = 0
    for (const place of places) bytes += at.get(place)?.bytes ?? 0
    if (bytes <= limit) return nothingLeftOut
    const there = places.filter((place) => at.has(place)).sort()
    const key = JSON.stringify(there)
    const known = chosen.get(key) ?? { places: there, leftOut: choose(limit, partsAt(there)) }
    chosen.set(key, known)
    return known.leftOut
  }

  return {
    count(workload, action) {
      const { identities, bindings } = workload
      const sign = action === 'add' ? 1 : -1
      for (const [place, here] of Map.groupBy(identities, placeOf)) {
        // A workload ID belongs to one namespace.
        const { namespace } = here[0]!
        const there = at.get(place) ?? { bytes: 0, namespaces: new Map<string, Tally>() }
        at.set(place, there)
        const tally = there.namespaces.get(namespace) ?? newTally()
        there.namespaces.set(namespace, tally)
        tally.workloads[action](workload)
        tally.parts = undefined
        for (const { bytes } of [...here, ...bindings]) there.bytes += sign * bytes
        for (const service of bindings.flatMap(({ services }) => services)) {
          const size = sizeOfService(service)
          const key = `${service.name} ${size}`
          const before = tally.services.get(key) ?? 0
          const after = before + sign
          if (before === 0 || after === 0) there.bytes += sign * size
          if (after === 0) tally.services.delete(key)
          else tally.services.set(key, after)
        }
        if (tally.workloads.size === 0) there.namespaces.delete(namespace)
        if (there.namespaces.size === 0) at.delete(place)
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
