import { isDeepStrictEqual } from 'node:util'
import type { SpiffeId, TrustDomain } from '#model/identity'
import {
  normalizeSelectors,
  type CredentialBinding,
  type CredentialSource,
  type Daemon,
  type Kind,
  type ResourceOf,
  type Service,
  type WorkloadIdentity,
} from '#model/resource'
import type { ExchangeTarget } from '#server/exchange'
import { openMultimap, openShortlists } from './multimap.ts'
import {
  placeOf,
  scopedName,
  sourceNameOf,
  type BindingProblem,
  type Owner,
  type Place,
  type Plan,
  type PlannedBinding,
  type PlannedIdentity,
  type WorkloadPlan,
} from './plan.ts'
import { openRoom } from './room.ts'
import { byName, selects, type LabelSelector, type Surroundings } from './surroundings.ts'
import { planWorkload } from './workload-plan.ts'

/** A workload that was planned anew. */
export interface Replanned {
  readonly workloadId: string
  readonly before: WorkloadPlan
  readonly after: WorkloadPlan
}

/** Keeps a plan up to date: what it costs to do so follows from what changed, not from what there is. */
export interface Planner {
  /** As of the last `replan`. */
  readonly plan: Plan
  /** There is an object, or it has changed. Of kinds that nothing is planned of nothing is kept. */
  set(object: ResourceOf<Kind>): void
  /** It is gone, or about to go. */
  delete(object: ResourceOf<Kind>): void
  /** Plans what the changes since the last call concern. */
  replan(): readonly Replanned[]
  /** The identities and bindings that have a workload ID, in force or not. */
  objectsOf(workloadId: string): Iterable<WorkloadIdentity | CredentialBinding>
  /** A daemon or identity that has a workload ID. */
  holderOf(workloadId: string): Daemon | WorkloadIdentity | undefined
}

const plannedKinds = [
  'WorkloadIdentity',
  'CredentialSource',
  'Service',
  'CredentialBinding',
  'Daemon',
] as const
type PlannedKind = (typeof plannedKinds)[number]
type Planned = ResourceOf<PlannedKind>

function isPlanned(object: ResourceOf<Kind>): object is Planned {
  return (plannedKinds as readonly Kind[]).includes(object.kind)
}

const nothing: WorkloadPlan = { identities: [], shadowed: new Map(), bindings: [], problems: new Map() }

const keyOf = ({ kind, metadata }: ResourceOf<Kind>) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`

const labelKey = (namespace: string, name: string, value: string) => JSON.stringify([namespace, name, value])

/** The labels of which a Service needs one, at least, for a binding to select it. */
function labelsWanted({ metadata, spec }: CredentialBinding): string[] {
  return normalizeSelectors(spec.propagation.injection?.selectors ?? []).flatMap((selector) => {
    const [first] = Object.entries(selector)
    return first ? first[1].map((value) => labelKey(metadata.namespace, first[0], value)) : []
  })
}

function labelsOf({ metadata, spec }: Service): string[] {
  return Object.entries(spec.labels).map(([name, value]) => labelKey(metadata.namespace, name, value))
}

/** `maxScopeBytes`: as in `room.ts` unless given. */
export function openPlanner(trustDomain: TrustDomain, maxScopeBytes?: number): Planner {
  const known = new Map<string, Planned>()
  // What refers to what.
  const identitiesOf = openShortlists<string, WorkloadIdentity>()
  const bindingsOf = openShortlists<string, CredentialBinding>()
  const daemonsOf = openShortlists<string, Daemon>()
  const sources = new Map<string, CredentialSource>()
  const servicesLabelled = openMultimap<string, Service>()
  const bindingsWanting = {
    source: openMultimap<string, CredentialBinding>(),
    label: openMultimap<string, CredentialBinding>(),
  }
  /** Workload IDs that have to be planned anew. */
  const stale = new Set<string>()

  const workloads = new Map<string, WorkloadPlan>()
  const out = {
    identities: new Map<string, PlannedIdentity>(),
    identitiesOf: new Map<SpiffeId, readonly PlannedIdentity[]>(),
    shadowed: new Map<string, Owner>(),
    bindings: new Map<string, PlannedBinding>(),
    problems: new Map<string, BindingProblem>(),
    bindingsOf: new Map<SpiffeId, readonly PlannedBinding[]>(),
    targets: new Map<string, ExchangeTarget>(),
  }
  const bindingsOfService = openMultimap<string, PlannedBinding>()
  const bindingsOfSource = openMultimap<string, PlannedBinding>()
  const identitiesAt = openMultimap<Place, PlannedIdentity>()
  const room = openRoom(maxScopeBytes)

  function staleBindings(bindings: Iterable<CredentialBinding>): void {
    for (const { spec } of bindings) stale.add(spec.workloadID)
  }

  /** Enters an object into the indexes, or takes it out. */
  function index(object: Planned, action: 'add' | 'delete'): void {
    switch (object.kind) {
      case 'WorkloadIdentity':
        identitiesOf[action](object.spec.workloadID, object)
        break
      case 'CredentialBinding':
        bindingsOf[action](object.spec.workloadID, object)
        bindingsWanting.source[action](sourceNameOf(object), object)
        for (const label of labelsWanted(object)) bindingsWanting.label[action](label, object)
        break
      case 'Daemon':
        daemonsOf[action](object.spec.workloadID, object)
        break
      case 'CredentialSource':
        if (action === 'add') sources.set(scopedName(object.metadata), object)
        else sources.delete(scopedName(object.metadata))
        break
      default:
        for (const label of labelsOf(object)) servicesLabelled[action](label, object)
    }
  }

  /** Everything whose plan depends on an object. */
  function invalidate(object: Planned): void {
    switch (object.kind) {
      case 'WorkloadIdentity':
      case 'CredentialBinding':
      case 'Daemon':
        stale.add(object.spec.workloadID)
        break
      case 'CredentialSource':
        staleBindings(bindingsWanting.source.get(scopedName(object.metadata)))
        break
      default:
        for (const label of labelsOf(object)) staleBindings(bindingsWanting.label.get(label))
    }
  }

  function servicesFor(namespace: string, selectors: readonly LabelSelector[]): readonly Service[] {
    const found = new Set<Service>()
    for (const selector of selectors) {
      const [first] = Object.entries(selector)
      for (const value of first?.[1] ?? []) {
        for (const service of servicesLabelled.get(labelKey(namespace, first![0], value))) {
          if (selects(selector, service)) found.add(service)
        }
      }
    }
    return [...found].sort(byName)
  }

  function show(workload: WorkloadPlan, action: 'add' | 'delete'): void {
    room.count(workload, action)
    for (const identity of workload.identities) {
      if (action === 'add') {
        out.identities.set(identity.scoped.name, identity)
        out.identitiesOf.set(identity.scoped.spiffeId, workload.identities)
      } else {
        // The name may be another's by now: an object that came with another workload ID.
        if (out.identities.get(identity.scoped.name) === identity) out.identities.delete(identity.scoped.name)
        out.identitiesOf.delete(identity.scoped.spiffeId)
      }
      identitiesAt[action](placeOf(identity), identity)
    }
    for (const binding of workload.bindings) {
      for (const { name } of binding.services) bindingsOfService[action](name, binding)
      bindingsOfSource[action](binding.scoped.sourceName, binding)
      if (action === 'delete') {
        if (out.bindings.get(binding.uid) === binding) out.bindings.delete(binding.uid)
        out.bindingsOf.delete(binding.scoped.spiffeId)
        out.targets.delete(binding.key)
      } else {
        out.bindings.set(binding.uid, binding)
        out.bindingsOf.set(binding.scoped.spiffeId, workload.bindings)
        out.targets.set(binding.key, binding.target)
      }
    }
    for (const part of ['shadowed', 'problems'] as const) {
      const all = out[part] as Map<string, unknown>
      for (const [uid, value] of workload[part]) {
        if (action === 'add') all.set(uid, value)
        else if (all.get(uid) === value) all.delete(uid)
      }
    }
  }

  return {
    plan: {
      ...out,
      trustDomain,
      bindingsOfService: bindingsOfService.all,
      bindingsOfSource: bindingsOfSource.all,
      identitiesAt: identitiesAt.all,
      leftOut: room.leftOut,
    },
    set(object) {
      if (!isPlanned(object)) return
      const before = known.get(keyOf(object))
      // A status or a label says nothing here.
      const same =
        before?.metadata.uid === object.metadata.uid && isDeepStrictEqual(before?.spec, object.spec)
      if (before) {
        index(before, 'delete')
        if (!same) invalidate(before)
      }
      known.set(keyOf(object), object)
      index(object, 'add')
      if (!same) invalidate(object)
    },
    delete(object) {
      const before = known.get(keyOf(object))
      if (!before) return
      known.delete(keyOf(object))
      index(before, 'delete')
      invalidate(before)
    },
    holderOf: (workloadId) => [...daemonsOf.get(workloadId), ...identitiesOf.get(workloadId)][0],
    objectsOf: (workloadId) => [...identitiesOf.get(workloadId), ...bindingsOf.get(workloadId)],
    replan() {
      const replanned: Replanned[] = []
      const surroundings: Surroundings = {
        trustDomain,
        sourceNamed: (namespace, name) => sources.get(scopedName({ namespace, name })),
        servicesFor,
      }
      for (const workloadId of stale) {
        const before = workloads.get(workloadId) ?? nothing
        const made = planWorkload(
          {
            identities: identitiesOf.get(workloadId),
            bindings: bindingsOf.get(workloadId),
            daemons: daemonsOf.get(workloadId),
          },
          surroundings,
        )
        const after = keepEqual(before, made)
        show(before, 'delete')
        show(after, 'add')
        if (identitiesOf.get(workloadId).length + bindingsOf.get(workloadId).length > 0)
          workloads.set(workloadId, after)
        else workloads.delete(workloadId)
        replanned.push({ workloadId, before, after })
      }
      stale.clear()
      return replanned
    },
  }
}

/** `after` with the parts of `before` that are equal in their places: who compares by identity sees no change. */
function keepEqual(before: WorkloadPlan, after: WorkloadPlan): WorkloadPlan {
  const identitiesBefore = new Map(before.identities.map((identity) => [identity.scoped.name, identity]))
  const bindingsBefore = new Map(before.bindings.map((binding) => [binding.uid, binding]))
  const identities = after.identities.map((identity) => {
    const known = identitiesBefore.get(identity.scoped.name)
    return isDeepStrictEqual(known, identity) ? known! : identity
  })
  const bindings = after.bindings.map((binding) => {
    const known = bindingsBefore.get(binding.uid)
    if (known && isDeepStrictEqual(known, binding)) return known
    const target = known && isDeepStrictEqual(known.target, binding.target) ? known.target : binding.target
    return { ...binding, target }
  })
  // Most have nothing here, and an empty map takes 150 bytes.
  const shadowed = after.shadowed.size > 0 ? after.shadowed : nothing.shadowed
  const problems = after.problems.size > 0 ? after.problems : nothing.problems
  return { identities, shadowed, bindings, problems }
}
