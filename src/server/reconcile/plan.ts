import type { SpiffeId, TrustDomain } from '#model/identity'
import {
  defaultNamespace,
  type CredentialBinding,
  type Kind,
  type Reason,
  type ResourceOf,
  type WorkloadScope,
} from '#model/resource'
import type { ScopedBinding, ScopedIdentity, ScopedService } from '#model/scope'
import type { ExchangeTarget } from '#server/exchange'
import type { LeftOut } from './room.ts'

/**
 * Whose a workload ID is. Nothing but a name, which never changes: a plan is the same whatever else of the object does.
 */
export interface Owner {
  readonly kind: 'Daemon' | 'WorkloadIdentity'
  readonly namespace: string
  readonly name: string
}

export interface PlannedIdentity {
  readonly namespace: string
  readonly where: WorkloadScope
  readonly createdAt: string
  /** How much of a scope it takes. */
  readonly bytes: number
  readonly scoped: ScopedIdentity
}

/** Why a binding is not in effect, before any daemon or cloud is asked. */
export interface BindingProblem {
  /** Only a change of this or another object's specification helps. */
  readonly state: 'PENDING' | 'FAILED'
  readonly reason: Reason
  readonly message: string
}

export interface PlannedBinding {
  readonly uid: string
  readonly identities: readonly PlannedIdentity[]
  readonly services: readonly ScopedService[]
  readonly createdAt: string
  /** How much of a scope it takes with its credential, and without its Services. */
  readonly bytes: number
  readonly scoped: ScopedBinding
  /** Names its credential. */
  readonly key: string
  /** What its credential is exchanged for. */
  readonly target: ExchangeTarget
}

/**
 * All that follows from the objects for one workload ID. Nothing of it depends on what else there is, but for the
 * sources and Services that the bindings name: that is what makes a plan quick to bring up to date.
 */
export interface WorkloadPlan {
  /** Identities that are in force. */
  readonly identities: readonly PlannedIdentity[]
  /** Those that are not, by uid: the daemon, or the identity of another namespace, that has their workload ID. */
  readonly shadowed: ReadonlyMap<string, Owner>
  /** Bindings that are in force. */
  readonly bindings: readonly PlannedBinding[]
  /** Those that are not, by uid. */
  readonly problems: ReadonlyMap<string, BindingProblem>
}

/** What the objects mean together: the same for every order in which they came. */
export interface Plan {
  readonly trustDomain: TrustDomain
  /** Identities that are in force, by name in scopes. */
  readonly identities: ReadonlyMap<string, PlannedIdentity>
  readonly identitiesOf: ReadonlyMap<SpiffeId, readonly PlannedIdentity[]>
  /** As in `WorkloadPlan`, of all. */
  readonly shadowed: ReadonlyMap<string, Owner>
  /** Bindings that are in force, by uid. */
  readonly bindings: ReadonlyMap<string, PlannedBinding>
  readonly problems: ReadonlyMap<string, BindingProblem>
  readonly bindingsOf: ReadonlyMap<SpiffeId, readonly PlannedBinding[]>
  /** Bindings in force by the name in scopes of each Service that they select, and of their source. */
  readonly bindingsOfService: ReadonlyMap<string, ReadonlySet<PlannedBinding>>
  readonly bindingsOfSource: ReadonlyMap<string, ReadonlySet<PlannedBinding>>
  /** Identities in force by the place where they may run. */
  readonly identitiesAt: ReadonlyMap<Place, ReadonlySet<PlannedIdentity>>
  /** What the bindings in force need, by key. */
  readonly targets: ReadonlyMap<string, ExchangeTarget>
  /** What does not fit into the scope of a daemon that is these places. */
  readonly leftOut: (places: readonly Place[]) => LeftOut
}

/** Where identities may run: on one daemon, or on those of a group. */
export type Place = `daemon ${string}` | `group ${string}`

export const placeOf = ({ where: { kind, id } }: Pick<PlannedIdentity, 'where'>): Place =>
  kind === 'daemon' ? `daemon ${id}` : `group ${id}`

/** The places that a daemon is: itself, and its groups. */
export function placesOf({
  workloadId,
  groups,
}: {
  readonly workloadId: string
  readonly groups: readonly string[]
}): readonly Place[] {
  return [`daemon ${workloadId}`, ...new Set(groups.map((group): Place => `group ${group}`))]
}

/** The name of an object in scopes: they hold objects of all namespaces. */
export function scopedName({ namespace, name }: { namespace: string; name: string }): string {
  return namespace === defaultNamespace ? name : `${namespace}/${name}`
}

/** `CredentialBinding/name`, as daemons and the audit name an object. */
export function subjectName({ kind, metadata }: ResourceOf<Kind>): string {
  const { namespace = '', name } = metadata
  return `${kind}/${scopedName({ namespace, name })}`
}

/** Names a binding's credential, whether it has one or not. */
export function sourceNameOf({ metadata: { namespace }, spec }: CredentialBinding): string {
  return scopedName({ namespace, name: spec.credentialSource })
}
