/**
 * The plan made from scratch, by a look at everything: slow, and simple enough to be seen to be right. Tests hold
 * against it what is kept up to date by changes.
 */
import { formatSpiffeId, parseWorkloadId, type SpiffeId, type TrustDomain } from '#model/identity'
import {
  normalizeSelectors,
  scopedService,
  scopeOf,
  unsupportedFields,
  type CredentialBinding,
  type CredentialSource,
  type Service,
  type WorkloadIdentity,
  type WorkloadScope,
} from '#model/resource'
import {
  captureLevels,
  credentialKey,
  type ScopedBinding,
  type ScopedIdentity,
  type ScopedService,
} from '#model/scope'
import { scopedName, type BindingProblem } from './plan.ts'
import type { Objects } from './planner.ts'
import { hostsOverlap } from './workload-plan.ts'

interface PlannedIdentity {
  readonly object: WorkloadIdentity
  readonly where: WorkloadScope
  readonly scoped: ScopedIdentity
}

interface PlannedBinding {
  readonly object: CredentialBinding
  readonly identities: readonly PlannedIdentity[]
  readonly source: CredentialSource
  readonly services: readonly ScopedService[]
  readonly scoped: ScopedBinding
  /** Names its credential. */
  readonly key: string
}

/** What the objects mean together: pure, and the same for every order in which they came. */
export interface ReferencePlan {
  readonly trustDomain: TrustDomain
  /** Identities that are in force, by name in scopes. */
  readonly identities: ReadonlyMap<string, PlannedIdentity>
  /** Those that are not, by uid: the identity of another namespace that has their workload ID. */
  readonly shadowed: ReadonlyMap<string, WorkloadIdentity>
  /** Bindings that are in force, by uid. */
  readonly bindings: ReadonlyMap<string, PlannedBinding>
  /** Those that are not, by uid. */
  readonly problems: ReadonlyMap<string, BindingProblem>
  readonly bindingsOf: ReadonlyMap<SpiffeId, readonly PlannedBinding[]>
  /** Names of the bindings in force that select a Service, by its name in scopes. */
  readonly bindingsOfService: ReadonlyMap<string, readonly string[]>
}

/** Oldest first; the name decides between objects of the same second, so that every server agrees. */
function byAge(a: WorkloadIdentity, b: WorkloadIdentity): number {
  const order = (object: WorkloadIdentity) =>
    `${object.metadata.creationTimestamp} ${object.metadata.namespace}/${object.metadata.name}`
  return order(a) < order(b) ? -1 : 1
}

function planIdentity(object: WorkloadIdentity, trustDomain: TrustDomain): PlannedIdentity {
  const { metadata, spec } = object
  // An alternative with a key that no attestor collects matches no process: the daemon need not know of it.
  const unsupported = unsupportedFields(object)
  const collected = normalizeSelectors(spec.selectors).filter(
    (_, index) => !unsupported.some((path) => path.startsWith(`spec.selectors[${index}]`)),
  )
  return {
    object,
    where: scopeOf(spec),
    scoped: {
      name: scopedName(metadata),
      spiffeId: formatSpiffeId(trustDomain, parseWorkloadId(spec.workloadID)),
      selectors: collected,
      captureAll: spec.captureAll ?? false,
      intercept: spec.connection?.tls?.intercept ?? false,
    },
  }
}

type LabelSelector = Readonly<Record<string, readonly string[]>>

/** Finds the Services that selectors mean, without a look at all of them. */
function indexServices(services: readonly Service[]) {
  const labelled = Map.groupBy(
    services.flatMap((service) =>
      Object.entries(service.spec.labels).map(([name, value]) => ({
        key: JSON.stringify([service.metadata.namespace, name, value]),
        service,
      })),
    ),
    ({ key }) => key,
  )
  const withLabel = (namespace: string, name: string, values: readonly string[]) =>
    values.flatMap((value) => labelled.get(JSON.stringify([namespace, name, value])) ?? [])
  const matches = ({ spec }: Service, selector: LabelSelector) =>
    Object.entries(selector).every(
      ([name, values]) => Object.hasOwn(spec.labels, name) && values.includes(spec.labels[name]!),
    )
  return (namespace: string, selectors: readonly LabelSelector[]): Service[] => {
    const found = selectors.flatMap((selector) => {
      const [first] = Object.entries(selector)
      const candidates = first ? withLabel(namespace, ...first) : []
      return candidates.map(({ service }) => service).filter((service) => matches(service, selector))
    })
    return [...new Set(found)].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  }
}

const pending = (reason: string, message: string): BindingProblem => ({ state: 'PENDING', reason, message })
const failed = (reason: string, message: string): BindingProblem => ({ state: 'FAILED', reason, message })

export function planFromScratch(objects: Objects, trustDomain: TrustDomain): ReferencePlan {
  const identities = new Map<string, PlannedIdentity>()
  const shadowed = new Map<string, WorkloadIdentity>()
  const owners = new Map<string, WorkloadIdentity>()
  for (const object of [...objects.list('WorkloadIdentity')].sort(byAge)) {
    const owner = owners.get(object.spec.workloadID)
    // SECURITY: a workload ID belongs to one namespace (rule 18); the first keeps it.
    if (owner && owner.metadata.namespace !== object.metadata.namespace) {
      shadowed.set(object.metadata.uid, owner)
      continue
    }
    owners.set(object.spec.workloadID, owner ?? object)
    identities.set(scopedName(object.metadata), planIdentity(object, trustDomain))
  }
  const byWorkloadId = Map.groupBy(identities.values(), ({ object }) => object.spec.workloadID)
  const sources = new Map(
    objects.list('CredentialSource').map((source) => [scopedName(source.metadata), source]),
  )
  const selectedServices = indexServices(objects.list('Service'))

  function planBinding(object: CredentialBinding): PlannedBinding | BindingProblem {
    const { metadata, spec } = object
    const { namespace } = metadata
    if (!spec.propagation.injection) {
      const message = 'delivery as a file is not implemented yet: set spec.propagation.injection'
      return failed('Unsupported', message)
    }
    const named = byWorkloadId.get(spec.workloadID) ?? []
    const own = named.filter((identity) => identity.object.metadata.namespace === namespace)
    if (own.length === 0) {
      const elsewhere = named[0]?.object.metadata.namespace
      const hint =
        elsewhere === undefined
          ? 'create it, or correct spec.workloadID'
          : `the one with this workloadID is in namespace ${elsewhere}: bindings are of its namespace`
      return pending(
        'IdentityMissing',
        `WorkloadIdentity.core.riptides.io "${spec.workloadID}" not found; ${hint}`,
      )
    }
    const sourceName = scopedName({ namespace, name: spec.credentialSource })
    const source = sources.get(sourceName)
    if (!source) {
      return pending(
        'SourceMissing',
        `CredentialSource.core.riptides.io "${spec.credentialSource}" not found; create it, or correct spec.credentialSource`,
      )
    }
    if (!source.spec.aws) {
      return failed('Unsupported', `CredentialSource ${sourceName} is of a type that is not implemented yet`)
    }
    const selectors = normalizeSelectors(spec.propagation.injection.selectors)
    const services = selectedServices(namespace, selectors)
    if (services.length === 0) {
      const wanted = spec.propagation.injection.selectors
        .map((selector) => JSON.stringify(selector))
        .join(' or ')
      return pending(
        'ServiceMissing',
        `no Service in namespace ${namespace} has the labels ${wanted}; create it, or correct spec.propagation.injection.selectors`,
      )
    }
    const { spiffeId } = own[0]!.scoped
    return {
      object,
      identities: own,
      source,
      services: services.map(namedService),
      key: credentialKey(spiffeId, sourceName),
      scoped: {
        name: scopedName(metadata),
        spiffeId,
        sourceName,
        serviceNames: services.map(({ metadata }) => scopedName(metadata)),
        minimumCapture: captureLevels.find((level) => level === spec.minimumCapture) ?? 'process',
        allowCredentialIssuance: spec.allowCredentialIssuance ?? false,
      },
    }
  }

  const planned: PlannedBinding[] = []
  const problems = new Map<string, BindingProblem>()
  for (const object of objects.list('CredentialBinding')) {
    const result = planBinding(object)
    if ('scoped' in result) planned.push(result)
    else problems.set(object.metadata.uid, result)
  }
  const candidates = Map.groupBy(planned, ({ scoped }) => scoped.spiffeId)
  for (const [uid, problem] of conflicts(candidates)) problems.set(uid, problem)
  const inForce = planned.filter(({ object }) => !problems.has(object.metadata.uid))
  return {
    trustDomain,
    identities,
    shadowed,
    bindings: new Map(inForce.map((binding) => [binding.object.metadata.uid, binding])),
    problems,
    bindingsOf: Map.groupBy(inForce, ({ scoped }) => scoped.spiffeId),
    bindingsOfService: selectionsOf(inForce),
  }
}

function selectionsOf(bindings: readonly PlannedBinding[]): Map<string, string[]> {
  const selections = new Map<string, string[]>()
  for (const { scoped } of bindings) {
    for (const service of scoped.serviceNames) {
      selections.set(service, [...(selections.get(service) ?? []), scoped.name])
    }
  }
  return selections
}

function namedService(service: Service): ScopedService {
  return { ...scopedService(service), name: scopedName(service.metadata) }
}

/** SECURITY: two bindings for one host of one identity: neither is in force (rule 14). */
function conflicts(
  bindingsOf: ReadonlyMap<SpiffeId, readonly PlannedBinding[]>,
): Map<string, BindingProblem> {
  const problems = new Map<string, BindingProblem>()
  for (const bindings of bindingsOf.values()) {
    for (const [index, one] of bindings.entries()) {
      for (const other of bindings.slice(index + 1)) {
        const host = sharedHost(one, other)
        if (host === undefined) continue
        for (const [loser, winner] of [
          [one, other],
          [other, one],
        ] as const) {
          const message =
            `CredentialBinding ${winner.scoped.name} binds the same workload to the same host ${host}: ` +
            'neither is in force; delete one, or make their Services differ'
          problems.set(loser.object.metadata.uid, failed('HostBoundTwice', message))
        }
      }
    }
  }
  return problems
}

function hostsOf({ services }: PlannedBinding): string[] {
  return services.flatMap(({ addresses }) => addresses.map(({ host }) => host))
}

function sharedHost(one: PlannedBinding, other: PlannedBinding): string | undefined {
  const hosts = hostsOf(other)
  return hostsOf(one).find((host) => hosts.some((candidate) => hostsOverlap(host, candidate)))
}
