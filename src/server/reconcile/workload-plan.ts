import { formatSpiffeId, parseWorkloadId, type TrustDomain } from '#model/identity'
import {
  normalizeSelectors,
  scopedService,
  scopeOf,
  unsupportedFields,
  type CredentialBinding,
  type Daemon,
  type Reason,
  type Service,
  type WorkloadIdentity,
} from '#model/resource'
import { wildcardOf } from '#model/policy'
import { captureLevels, credentialKey, type ScopedService } from '#model/scope'
import {
  scopedName,
  sourceNameOf,
  type BindingProblem,
  type Owner,
  type PlannedBinding,
  type PlannedIdentity,
  type WorkloadPlan,
} from './plan.ts'
import { plainTextDanger } from './plain-text.ts'
import { sizeOfBinding, sizeOfIdentity } from './room.ts'
import type { Surroundings } from './surroundings.ts'

/** Oldest first; the name decides between objects of the same second, so that every server agrees. */
function byAge(a: WorkloadIdentity, b: WorkloadIdentity): number {
  const order = ({ metadata }: WorkloadIdentity) =>
    `${metadata.creationTimestamp} ${metadata.namespace}/${metadata.name}`
  return order(a) < order(b) ? -1 : 1
}

function planIdentity(object: WorkloadIdentity, trustDomain: TrustDomain): PlannedIdentity {
  const { metadata, spec } = object
  // An alternative with a key that no attestor collects matches no process: the daemon need not know of it.
  const unsupported = unsupportedFields(object)
  const collected = normalizeSelectors(spec.selectors).filter(
    (_, index) => !unsupported.some((path) => path.startsWith(`spec.selectors[${index}]`)),
  )
  const scoped = {
    name: scopedName(metadata),
    spiffeId: formatSpiffeId(trustDomain, parseWorkloadId(spec.workloadID)),
    selectors: collected,
    captureAll: spec.captureAll ?? false,
    intercept: spec.connection?.tls?.intercept ?? false,
  }
  const { namespace, creationTimestamp: createdAt } = metadata
  return { namespace, where: scopeOf(spec), createdAt, bytes: sizeOfIdentity(scoped), scoped }
}

const pending = (reason: Reason, message: string): BindingProblem => ({ state: 'PENDING', reason, message })
const failed = (reason: Reason, message: string): BindingProblem => ({ state: 'FAILED', reason, message })

function hintAt(owner: Owner | undefined): string {
  if (owner?.kind === 'Daemon')
    return `this workloadID belongs to Daemon ${owner.name}: correct spec.workloadID`
  return owner
    ? `the one with this workloadID is in namespace ${owner.namespace}: create the binding there, or correct spec.workloadID`
    : 'create it, or correct spec.workloadID'
}

function planBinding(
  object: CredentialBinding,
  identities: readonly PlannedIdentity[],
  owner: Owner | undefined,
  { sourceNamed, servicesFor }: Surroundings,
): PlannedBinding | BindingProblem {
  const { metadata, spec } = object
  const { namespace } = metadata
  if (!spec.propagation.injection) {
    const message = 'delivery as a file is not implemented yet: set spec.propagation.injection'
    return failed('Unsupported', message)
  }
  const own = identities.filter((identity) => identity.namespace === namespace)
  if (own.length === 0) {
    return pending(
      'IdentityMissing',
      `WorkloadIdentity.core.riptides.io "${spec.workloadID}" not found; ${hintAt(owner)}`,
    )
  }
  const sourceName = sourceNameOf(object)
  const source = sourceNamed(namespace, spec.credentialSource)
  if (!source) {
    return pending(
      'SourceMissing',
      `CredentialSource.core.riptides.io "${spec.credentialSource}" not found; create it, or correct spec.credentialSource`,
    )
  }
  if (!source.spec.aws) {
    return failed(
      'Unsupported',
      `CredentialSource ${sourceName} is of a type that this version does not act on: use one with spec.aws`,
    )
  }
  const services = servicesFor(namespace, normalizeSelectors(spec.propagation.injection.selectors))
  if (services.length === 0) {
    const wanted = spec.propagation.injection.selectors
      .map((selector) => JSON.stringify(selector))
      .join(' or ')
    return pending(
      'ServiceMissing',
      `no Service in namespace ${namespace} has the labels ${wanted}; create it, or correct spec.propagation.injection.selectors`,
    )
  }
  const danger = services
    .map((service) => plainTextDanger(object, service))
    .find((text) => text !== undefined)
  if (danger !== undefined) return failed('PlainText', `it ${danger}`)
  const { spiffeId } = own[0]!.scoped
  const scoped = {
    name: scopedName(metadata),
    spiffeId,
    sourceName,
    serviceNames: services.map(({ metadata }) => scopedName(metadata)),
    minimumCapture: captureLevels.find((level) => level === spec.minimumCapture) ?? 'process',
    allowCredentialIssuance: spec.allowCredentialIssuance ?? false,
  }
  return {
    uid: metadata.uid,
    identities: own,
    services: services.map(namedService),
    key: credentialKey(spiffeId, sourceName),
    target: { spiffeId, sourceName, aws: source.spec.aws },
    createdAt: metadata.creationTimestamp,
    bytes: sizeOfBinding(scoped),
    scoped,
  }
}

// Made once for all bindings that select it.
const named = new WeakMap<Service, ScopedService>()

function namedService(service: Service): ScopedService {
  const made = named.get(service) ?? { ...scopedService(service), name: scopedName(service.metadata) }
  named.set(service, made)
  return made
}

function ownerOf(object: Daemon | WorkloadIdentity | undefined): Owner | undefined {
  return object && { kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name }
}

/** Plans one workload ID: these are all that have it, in any order. */
export function planWorkload(
  {
    identities,
    bindings,
    daemons,
  }: {
    identities: Iterable<WorkloadIdentity>
    bindings: Iterable<CredentialBinding>
    daemons: Iterable<Daemon>
  },
  surroundings: Surroundings,
): WorkloadPlan {
  const [daemon] = daemons
  const oldestFirst = [...identities].sort(byAge)
  // SECURITY: a workload ID belongs to one namespace (rule 18), of which the first keeps it, or to a daemon: a workload
  // with that of a daemon could pass for it. Two that were admitted at the same moment are told apart here.
  const owner = ownerOf(daemon ?? oldestFirst[0])
  const isOwners = ({ kind, metadata }: WorkloadIdentity) =>
    kind === owner?.kind && metadata.namespace === owner.namespace
  const inForce = oldestFirst.filter(isOwners).map((object) => planIdentity(object, surroundings.trustDomain))
  const shadowed = oldestFirst.filter((object) => !isOwners(object))
  const planned: PlannedBinding[] = []
  const problems = new Map<string, BindingProblem>()
  const nameOf = ({ metadata }: CredentialBinding) => `${metadata.namespace}/${metadata.name}`
  for (const object of [...bindings].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const result = planBinding(object, inForce, owner, surroundings)
    if ('scoped' in result) planned.push(result)
    else problems.set(object.metadata.uid, result)
  }
  for (const [uid, problem] of conflicts(planned)) problems.set(uid, problem)
  return {
    identities: inForce,
    shadowed: new Map(shadowed.map(({ metadata }) => [metadata.uid, owner!])),
    bindings: planned.filter(({ uid }) => !problems.has(uid)),
    problems,
  }
}

/**
 * SECURITY: two bindings for one host of one identity: neither is in force (rule 14). `*.` stands for one label. Found by
 * looking up each host once: there may be some ten thousand of each binding, and many bindings.
 */
function conflicts(bindings: readonly PlannedBinding[]): Map<string, BindingProblem> {
  /** Those that have a host, and those that have one that a `*.` host means: the first two. */
  const having = new Map<string, PlannedBinding[]>()
  const below = new Map<string, PlannedBinding[]>()
  for (const binding of bindings) {
    for (const host of hostsOf(binding)) {
      note(having, host, binding)
      note(below, wildcardOf(host), binding)
    }
  }
  const problems = new Map<string, BindingProblem>()
  for (const loser of bindings) {
    for (const host of hostsOf(loser)) {
      const meeting = [having.get(host), having.get(wildcardOf(host)), below.get(host)].flatMap(
        (all) => all ?? [],
      )
      const winner = meeting.find((other) => other !== loser)
      if (!winner) continue
      const message =
        `CredentialBinding ${winner.scoped.name} binds the same workload to the same host ${host}: ` +
        'neither is in force; delete one, or make their Services differ'
      problems.set(loser.uid, failed('HostBoundTwice', message))
      break
    }
  }
  return problems
}

function note(index: Map<string, PlannedBinding[]>, host: string, binding: PlannedBinding): void {
  const known = index.get(host)
  if (!known) index.set(host, [binding])
  else if (known.length === 1 && known[0] !== binding) known.push(binding)
}

function hostsOf({ services }: PlannedBinding): string[] {
  return services.flatMap(({ addresses }) => addresses.map(({ host }) => host))
}
