import type { Clock } from '#base/clock'
import {
  lookAtDaemon,
  readinessOf,
  reportedTypes,
  unknownHealth,
  type Daemon,
  type Kind,
  type ResourceOf,
} from '#model/resource'
import type { ResourceCache } from '#server/store'
import { isBeingDeleted } from '#server/store'
import { isConnected, type Absences } from './absences.ts'
import { judgeCredentialBinding } from './credential-binding.ts'
import { judgeCredentialSource } from './credential-source.ts'
import { judgeDaemon } from './daemon.ts'
import { openDeadlines } from './deadlines.ts'
import { nextStatus, type DesiredStatus, type Judgement } from './desired-status.ts'
import { judgeJoinToken } from './join-token.ts'
import { placeOf, scopedName, type Plan, type PlannedIdentity } from './plan.ts'
import { judgeService } from './service.ts'
import type { Stream } from './scopes.ts'
import type { StatusWriter } from './status-writer.ts'
import type { ObjectKey } from './survey.ts'
import { judgeVerifier } from './verifier.ts'
import { judgeWorkloadCredential } from './workload-credential.ts'
import { judgeWorkloadIdentity } from './workload-identity.ts'
import type { World } from './world.ts'

/** Kinds that have a state. */
export const judgedKinds = [
  'WorkloadIdentity',
  'Service',
  'CredentialSource',
  'CredentialBinding',
  'WorkloadCredential',
  'Verifier',
  'JoinToken',
  'Daemon',
] as const

/** What the state of an object of these kinds should be; undefined for kinds that have none from here. */
export function judgeObject(object: ResourceOf<Kind>, world: World): DesiredStatus | undefined {
  switch (object.kind) {
    case 'WorkloadIdentity':
      return judgeWorkloadIdentity(object, world)
    case 'Service':
      return judgeService(object, world)
    case 'CredentialSource':
      return judgeCredentialSource(object, world)
    case 'CredentialBinding':
      return judgeCredentialBinding(object, world)
    case 'WorkloadCredential':
      return judgeWorkloadCredential(object)
    case 'Verifier':
      return judgeVerifier(object)
    case 'JoinToken':
      return judgeJoinToken(object, world.at, world.obstacleTo(object))
    default:
      return undefined
  }
}

/** Judges objects and has their states written. */
export interface Judging {
  add(keys: Iterable<ObjectKey>): void
  /** As `add`, once for all that is told within `ms`. */
  postpone(keys: Iterable<ObjectKey>, ms: number): void
  /** Daemons that were sent something, or have put it into effect: their states tell when one is late. */
  follow(keys: Iterable<ObjectKey>): void
  /** When the next of what was postponed is due. */
  dueInMs(): number
  /** Judges some of what was added, for a few milliseconds; false when there is more. */
  judgeSome(world: World): boolean
}

/**
 * Daemons that are newly said to wait for an update, in a second. When a whole group waits, most are done before
 * their turn comes, and a thousand writes that say so would keep them waiting.
 */
const waitingPerSecond = 50
const waitingAgainMs = 250
/** A daemon that has not put into effect within this time what it had been sent is late. */
const syncingMs = 400
/** How often it is looked whether what stands of a Service, until a daemon is back, still has to. */
const standingMs = 250

// Between two of these, everything else of the server gets its turn.
const sliceMs = 8

const missing = {
  state: 'DISCONNECTED',
  message: `not connected since its server has gone: ${lookAtDaemon}`,
} as const

/** The identities on whose daemons it rests what is said of an object, as it is now. */
function identitiesBehind(object: ResourceOf<Kind>, plan: Plan): readonly PlannedIdentity[] {
  if (object.kind !== 'WorkloadIdentity' && object.kind !== 'CredentialBinding' && object.kind !== 'Service')
    return []
  const { kind, metadata, status } = object
  if (status?.observedGeneration !== metadata.generation) return []
  const name = scopedName(metadata)
  if (kind === 'WorkloadIdentity') return [plan.identities.get(name) ?? []].flat()
  if (kind === 'CredentialBinding') return plan.bindings.get(metadata.uid)?.identities ?? []
  if (!status.conditions?.some(({ type }) => type in reportedTypes)) return []
  return [...(plan.bindingsOfService.get(name) ?? [])].flatMap(({ identities }) => identities)
}

const isWaiting = ({ type, status }: Judgement) => type === 'InSync' && status === 'Unknown'

export function openJudging({
  cache,
  writer,
  clock,
  absences,
}: {
  cache: Pick<ResourceCache, 'get'>
  writer: StatusWriter
  clock: Clock
  absences: Pick<Absences, 'isAnyAwaited' | 'isAwaited' | 'isMissed'>
}): Judging {
  const waiting = new Set<ObjectKey>()
  /** By monotonic time. */
  const postponed = openDeadlines<ObjectKey>()
  /** What daemons had been sent, and not all put into effect, when they were looked at. */
  const awaited = new Map<ObjectKey, { readonly sent: number; readonly since: number }>()
  let second = { endsAt: -Infinity, left: 0 }

  function mayTellOfWaiting(): boolean {
    const now = clock.monotonic()
    if (now >= second.endsAt) second = { endsAt: now + 1000, left: waitingPerSecond }
    return second.left-- > 0
  }

  function judgeOne(key: ObjectKey, world: World): void {
    const [kind, place] = key.split(' ') as [Kind, string]
    const [namespace, name] = place.split('/') as [string, string]
    const object = cache.get(kind, namespace, name)
    if (!object) awaited.delete(key)
    else if (object.kind === 'Daemon') setDaemon(key, object, world)
    else if (!isBeingDeleted(object) && isToStand(object, world)) {
      // Nobody tells what becomes of it of a Service: it is looked at again.
      if (object.kind === 'Service') postpone([key], standingMs)
    } else if (!isBeingDeleted(object)) {
      const desired = judgeObject(object, world)
      if (desired) writer.set(object, (current) => nextStatus(current, desired, world.at))
    }
  }

  /** Whether what was said of an object stands for now: a daemon that it concerns is about to come back. */
  function isToStand(object: ResourceOf<Kind>, { plan, daemonsAt }: World): boolean {
    if (!absences.isAnyAwaited()) return false
    return identitiesBehind(object, plan).some((identity) =>
      daemonsAt(placeOf(identity)).values().some(absences.isAwaited),
    )
  }

  /** Whether a daemon has not put into effect in time what it had been sent when it was looked at before. */
  function isLate(key: ObjectKey, stream: Stream | undefined): boolean {
    const { sent = 0, acknowledged = 0 } = stream ?? {}
    const before = awaited.get(key)
    const now = clock.monotonic()
    if (before && acknowledged < before.sent) return now - before.since >= syncingMs
    awaited.set(key, { sent, since: now })
    return false
  }

  /** What to say of a daemon now: that it waits is said of one that is late, and of the others what was said before. */
  function conditionsOf(key: ObjectKey, daemon: Daemon, world: World): readonly Judgement[] {
    const conditions = judgeDaemon(daemon, world)
    if (!conditions.some(isWaiting)) {
      awaited.delete(key)
      return conditions
    }
    const said = daemon.status?.conditions?.find(({ type }) => type === 'InSync')
    if (said && isWaiting(said)) return conditions
    const isDue = isLate(key, world.streams.stream(daemon.metadata.name))
    if (isDue && mayTellOfWaiting()) return conditions
    postpone([key], isDue ? waitingAgainMs : syncingMs)
    return conditions.flatMap((one) => (isWaiting(one) ? (said ?? []) : one))
  }

  function setDaemon(key: ObjectKey, daemon: Daemon, world: World): void {
    const { name } = daemon.metadata
    if (absences.isAwaited(name)) return
    const conditions = conditionsOf(key, daemon, world)
    const missed = absences.isMissed(name)
    writer.set<'Daemon'>(daemon, (current) => {
      const isLost = missed && isConnected(current)
      const { state = 'PENDING', message = '' } = isLost ? missing : (current.status ?? {})
      const desired = {
        state,
        message,
        conditions: [readinessOf({ state, message }), ...conditions],
        ...(isLost && { own: unknownHealth(current.status?.health) }),
      }
      return nextStatus<'Daemon'>(current, desired, world.at)
    })
  }

  function postpone(keys: Iterable<ObjectKey>, ms: number): void {
    const at = clock.monotonic() + ms
    for (const key of keys) if (!postponed.has(key)) postponed.set(key, at)
  }

  return {
    add(keys) {
      for (const key of keys) waiting.add(key)
    },
    postpone,
    follow: (keys) => postpone(keys, syncingMs),
    dueInMs: () => Math.max(0, postponed.next() - clock.monotonic()),
    judgeSome(world) {
      const now = clock.monotonic()
      for (const key of postponed.take(now)) waiting.add(key)
      const until = now + sliceMs
      for (const key of waiting) {
        waiting.delete(key)
        judgeOne(key, world)
        if (clock.monotonic() >= until) break
      }
      return waiting.size === 0
    },
  }
}
