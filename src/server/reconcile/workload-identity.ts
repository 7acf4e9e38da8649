import { formatSpiffeId, parseWorkloadId } from '#model/identity'
import {
  assumableByAnyLocalUser,
  scopeOf,
  unfilterableSelectors,
  type WorkloadIdentity,
} from '#model/resource'
import {
  enumerate,
  judge,
  reportedOn,
  roomFor,
  unsupportedIn,
  type DesiredStatus,
  type Judgement,
} from './desired-status.ts'
import { placeOf, scopedName } from './plan.ts'
import type { World } from './world.ts'

export function judgeWorkloadIdentity(
  object: WorkloadIdentity,
  world: World,
): DesiredStatus<'WorkloadIdentity'> {
  const { plan, reports } = world
  const { spec, metadata } = object
  const shadowedBy = plan.shadowed.get(metadata.uid)
  if (shadowedBy) {
    const owner =
      shadowedBy.kind === 'Daemon'
        ? `Daemon ${shadowedBy.name}: give this one another`
        : `WorkloadIdentity ${scopedName(shadowedBy)} of namespace ${shadowedBy.namespace}: give this one another, ` +
          'or delete that one'
    const message = `workload ID ${spec.workloadID} belongs to ${owner}`
    return {
      state: 'FAILED',
      message,
      conditions: [judge('Accepted', 'False', 'WorkloadIDTaken', message)],
      own: { spiffeID: undefined },
    }
  }
  const scope = scopeCondition(object, world)
  const full = leftOutCondition(object, world)
  const unsupported = unsupportedIn(object)
  const reported = reportedOn(object, reports)
  const weak = weaknesses(object)
  const problem = [...full, ...(scope.reason === 'Matched' ? [] : [scope]), ...unsupported][0]
  const notes = [...weak, ...reported].map(({ type, message }) => `${type}: ${message}`)
  return {
    state: full.length > 0 ? 'FAILED' : problem ? 'PENDING' : 'OK',
    message: [(problem ?? scope).message, ...notes].join('; '),
    conditions: [
      judge('Accepted', 'True', 'Valid', 'the workload ID is of this namespace'),
      scope,
      ...full,
      ...weak,
      ...unsupported,
      ...reported,
    ],
    own: { spiffeID: formatSpiffeId(plan.trustDomain, parseWorkloadId(spec.workloadID)) },
  }
}

function scopeCondition(object: WorkloadIdentity, { plan, daemonsAt, streams, isGone }: World): Judgement {
  const names = [...daemonsAt(placeOf(plan.identities.get(scopedName(object.metadata))!))]
  if (names.length === 0) {
    const { kind, id } = scopeOf(object.spec)
    const message =
      kind === 'daemon'
        ? `the scope matches no daemon: none has the workloadID ${id}; see "tideway ctl get daemons", or join one`
        : `the scope matches no daemon: none is in the group ${id}; join one with a token that lists it in daemonGroups`
    return judge('ScopeMatched', 'False', 'NoDaemon', message)
  }
  const present = names.filter((name) => streams.stream(name) !== undefined && !isGone(name))
  const message =
    present.length === 0
      ? `the scope matches ${enumerate(names)}, not connected: see "tideway ctl get daemons", and start the daemon there`
      : `the scope matches ${enumerate(names)}`
  return judge('ScopeMatched', 'True', present.length === 0 ? 'NotConnected' : 'Matched', message)
}

function leftOutCondition({ metadata }: WorkloadIdentity, { plan, daemonsAt, leftOut }: World): Judgement[] {
  // Mostly everything fits, and a group may have a thousand daemons.
  if (leftOut.size === 0) return []
  const identity = plan.identities.get(scopedName(metadata))!
  const names = [...daemonsAt(placeOf(identity))].filter((name) =>
    leftOut.get(name)?.workloads.has(identity.scoped.spiffeId),
  )
  if (names.length === 0) return []
  const message = `the scope of daemon ${enumerate(names)} has no room for it: ${roomFor(metadata.namespace)}`
  return [judge('Delivered', 'False', 'ScopeFull', message)]
}

function weaknesses({ spec }: WorkloadIdentity): Judgement[] {
  const weak: Judgement[] = []
  if (assumableByAnyLocalUser(spec.selectors)) {
    const message = 'a selector says what runs but not who runs it: add process:uid or systemd:unit'
    weak.push(judge('AssumableByAnyLocalUser', 'True', 'WeakSelectors', message))
  }
  if (!spec.captureAll && unfilterableSelectors(spec.selectors).length > 0) {
    const message = 'a selector has no key that the kernel can filter by: add one, or set spec.captureAll'
    weak.push(judge('Unfilterable', 'True', 'WeakSelectors', message))
  }
  return weak
}
