import type { EpochMs } from '#base/clock'
import { splitSpiffeId, type SpiffeId, type TrustDomain } from '#model/identity'
import {
  defaultNamespace,
  kinds,
  namespaceOf,
  type JoinToken,
  type Kind,
  type ResourceOf,
} from '#model/resource'
import type { Credential } from '#model/credential'
import type { ScopedBinding } from '#model/scope'
import type { ExchangeTarget } from '#server/exchange'
import { isBeingDeleted, type ResourceEvent } from '#server/store'
import type { Taken } from './changes.ts'
import { openDaemonPlaces, type DaemonPlaces } from './daemon-places.ts'
import { openDeadlines } from './deadlines.ts'
import { expiryOf } from './join-token.ts'
import { openJoining } from './joining.ts'
import { openMultimap } from './multimap.ts'
import { placeOf, type Place, type Plan, type PlannedIdentity } from './plan.ts'
import { openPlanner, type Replanned } from './planner.ts'
import { openReportBook, type Reports } from './reports.ts'
import { differing, nothingLeftOut, type LeftOut } from './room.ts'
import type { Stream } from './scopes.ts'
import { openWaits } from './waits.ts'

/** A binding on more daemons than these is not judged anew for each that acknowledges it. */
const maxDaemonsJudgedAtOnce = 10

/** Names an object: `Kind namespace/name`. */
export type ObjectKey = `${Kind} ${string}/${string}`

export const keyOf = (object: ResourceOf<Kind>): ObjectKey =>
  `${object.kind} ${namespaceOf(object)}/${object.metadata.name}`

/** The key of an object by its name in scopes. */
function keyNamed(kind: Kind, scopedName: string): ObjectKey {
  return scopedName.includes('/')
    ? `${kind} ${scopedName as `${string}/${string}`}`
    : `${kind} ${defaultNamespace}/${scopedName}`
}

const kindInLowerCase = new Map(kinds.map(({ kind }) => [kind.toLowerCase(), kind]))

/** What follows from changes: what daemons at some places get may differ, and so may the states of some objects. */
export interface Findings {
  /** Where what daemons get may differ, and of which workloads. */
  readonly places: ReadonlyMap<Place, ReadonlySet<SpiffeId>>
  readonly objects: ReadonlySet<ObjectKey>
  /** Objects of which much may be told in a short time: their states may wait for more. */
  readonly unhurried: ReadonlySet<ObjectKey>
  /** Daemons that were sent something, or have put it into effect. */
  readonly syncing: ReadonlySet<ObjectKey>
  /** Names of daemons that came or went, or whose objects changed. */
  readonly moved: ReadonlySet<string>
  /** What is to be exchanged, or how, has changed. */
  readonly targets: boolean
}

/**
 * Everything that scopes and states follow from, kept up to date by what changed. It says what that concerns, so that
 * a change costs what it concerns and not what there is (docs/decisions/0013).
 */
export interface Survey {
  readonly plan: Plan
  readonly daemonsAt: DaemonPlaces['at']
  readonly isGone: DaemonPlaces['isGone']
  readonly reports: Reports
  /** As in `World`. */
  readonly leftOut: ReadonlyMap<string, LeftOut>
  /** Why no daemon can join with a token, if so, and what to do about it. */
  readonly obstacleTo: (token: JoinToken) => string | undefined
  /**
   * Nothing follows from the time before: a credential in use or a join token expires, or a new binding has waited for
   * its credential for long enough.
   */
  nextDue(): EpochMs
  credentialOf(key: string, at: EpochMs): Credential | undefined
  /** Takes in changes of objects. */
  absorb(events: Iterable<Pick<ResourceEvent, 'type' | 'object'>>): void
  /** The clock was set: what had expired may not have, and the other way round. */
  lookAgain(): void
  /** All that has come up since the last call. */
  findings(taken: Taken, at: EpochMs): Findings
}

export function openSurvey({
  trustDomain,
  valid,
  streamOf,
  maxScopeBytes,
}: {
  trustDomain: TrustDomain
  /** The credential of a target, by its key, that is valid at a moment. */
  valid: (key: string, target: ExchangeTarget, at: EpochMs) => Credential | undefined
  streamOf: (daemonName: string) => Stream | undefined
  /** As in `room.ts` unless given. */
  maxScopeBytes?: number
}): Survey {
  const planner = openPlanner(trustDomain, maxScopeBytes)
  const { plan } = planner
  const daemons = openDaemonPlaces()
  const reports = openReportBook()
  const leftOut = new Map<string, LeftOut>()
  /** Of credentials in use, by key; those of `unread` have to be read again. */
  const expiries = openDeadlines<string>()
  const unread = new Set<string>()
  const tokenExpiries = openDeadlines<ObjectKey>()
  /** When each join token expires, or did. */
  const tokens = new Map<ObjectKey, EpochMs>()
  const joining = openJoining((workloadId) => planner.holderOf(workloadId))
  const waits = openWaits((workloadId, identities) => {
    notePlaces(identities)
    noteObjects(workloadId)
  })
  let places = openMultimap<Place, SpiffeId>()
  let objects = new Set<ObjectKey>()
  let unhurried = new Set<ObjectKey>()
  let moved = new Set<string>()
  /** Of these, daemons that are said to be gone and were not, or the other way round. */
  let turned = new Set<string>()
  let targets = false

  const credentialOf = (key: string, at: EpochMs) => {
    const target = plan.targets.get(key)
    return target && valid(key, target, at)
  }

  function noteObjects(workloadId: string): void {
    for (const object of planner.objectsOf(workloadId)) objects.add(keyOf(object))
  }

  function notePlaces(identities: readonly PlannedIdentity[]): void {
    for (const identity of identities) places.add(placeOf(identity), identity.scoped.spiffeId)
  }

  function noteWorkload(replanned: Replanned): void {
    const { workloadId, before, after } = replanned
    noteObjects(workloadId)
    for (const token of joining.naming(workloadId)) objects.add(keyOf(token))
    const isForLater = waits.note(replanned)
    for (const { identities, bindings } of [before, after]) {
      if (!isForLater) notePlaces(identities)
      for (const { services, scoped, key } of bindings) {
        for (const { name } of services) objects.add(keyNamed('Service', name))
        unhurried.add(keyNamed('CredentialSource', scoped.sourceName))
        unread.add(key)
      }
    }
    const wanted = ({ bindings }: typeof after) => new Set(bindings.map(({ target }) => target))
    if (wanted(before).symmetricDifference(wanted(after)).size > 0) targets = true
  }

  /** What fits into the scopes of these daemons may have changed. */
  function noteLeftOut(names: Iterable<string>): void {
    /** What was told, of many daemons with the same groups: from what it was to what it is. */
    const told = new Map<LeftOut, LeftOut>()
    for (const name of names) {
      const before = leftOut.get(name) ?? nothingLeftOut
      const after = plan.leftOut(daemons.of(name))
      if (before === after) continue
      if (after === nothingLeftOut) leftOut.delete(name)
      else leftOut.set(name, after)
      if (before.namespaces.symmetricDifference(after.namespaces).size > 0)
        unhurried.add(keyNamed('Daemon', name))
      if (told.get(after) === before) continue
      told.set(after, before)
      for (const spiffeId of differing(before, after)) noteObjects(splitSpiffeId(spiffeId).workloadId)
    }
  }

  function noteCredential(key: string): void {
    unread.add(key)
    const target = plan.targets.get(key)
    if (!target) return
    waits.release(key)
    unhurried.add(keyNamed('CredentialSource', target.sourceName))
    for (const binding of plan.bindingsOf.get(target.spiffeId) ?? []) {
      if (binding.key !== key) continue
      objects.add(keyNamed('CredentialBinding', binding.scoped.name))
      notePlaces(binding.identities)
    }
  }

  const isWidePlace = (place: Place) => daemons.at(place).size > maxDaemonsJudgedAtOnce

  /** How far a binding is on its daemons has changed. */
  function noteEffect({ name, spiffeId }: Pick<ScopedBinding, 'name' | 'spiffeId'>): void {
    const identities = plan.bindingsOf.get(spiffeId)?.find(({ scoped }) => scoped.name === name)?.identities
    const isWide = identities?.some((identity) => isWidePlace(placeOf(identity)))
    ;(isWide ? unhurried : objects).add(keyNamed('CredentialBinding', name))
  }

  /** A daemon came to, or left, a place: identities show it, and bindings where they are in effect. */
  function notePlace(place: Place): void {
    const concerned = isWidePlace(place) ? unhurried : objects
    for (const { scoped } of plan.identitiesAt.get(place) ?? []) {
      concerned.add(keyNamed('WorkloadIdentity', scoped.name))
      for (const binding of plan.bindingsOf.get(scoped.spiffeId) ?? []) {
        concerned.add(keyNamed('CredentialBinding', binding.scoped.name))
      }
    }
  }

  function noteDaemon(name: string): void {
    unhurried.add(keyNamed('Daemon', name))
    const said = daemons.isGone(name) ? [] : (streamOf(name)?.conditions ?? [])
    for (const subject of reports.replace(name, said)) {
      const slash = subject.indexOf('/')
      const kind = kindInLowerCase.get(subject.slice(0, slash))
      if (kind) objects.add(keyNamed(kind, subject.slice(slash + 1)))
    }
  }

  return {
    plan,
    daemonsAt: (place) => daemons.at(place),
    isGone: (name) => daemons.isGone(name),
    reports,
    leftOut,
    obstacleTo: (token) => joining.obstacleTo(token),
    nextDue: () => Math.min(expiries.next(), tokenExpiries.next(), waits.nextEnd()),
    credentialOf,
    absorb(events) {
      const changed = new Set<string>()
      for (const { type, object } of events) {
        // Its own server writes what a daemon says, several times as it connects; what is judged waits for the last.
        ;(object.kind === 'Daemon' ? unhurried : objects).add(keyOf(object))
        // SECURITY: a deletion takes effect at once, whatever finalizers keep the object for.
        const living = type !== 'DELETED' && !isBeingDeleted(object)
        if (living) planner.set(object)
        else planner.delete(object)
        for (const token of joining.note(object, living)) objects.add(keyOf(token))
        if (object.kind === 'JoinToken') {
          const key = keyOf(object)
          if (living) {
            tokens.set(key, expiryOf(object))
            tokenExpiries.set(key, expiryOf(object))
          } else {
            tokens.delete(key)
            tokenExpiries.delete(key)
          }
        }
        if (object.kind !== 'Daemon') continue
        const { name } = object.metadata
        moved.add(name)
        changed.add(name)
        const wasGone = daemons.isGone(name)
        for (const place of daemons.set(name, living ? object : undefined)) notePlace(place)
        if (daemons.isGone(name) !== wasGone) turned.add(name)
      }
      const replanned = planner.replan()
      for (const one of replanned) noteWorkload(one)
      const planned = replanned.flatMap(({ before, after }) => [...before.identities, ...after.identities])
      for (const place of new Set(planned.map(placeOf)))
        for (const name of daemons.at(place)) changed.add(name)
      noteLeftOut(changed)
    },
    lookAgain() {
      for (const key of plan.targets.keys()) noteCredential(key)
      for (const [key, expiresAt] of tokens) {
        tokenExpiries.set(key, expiresAt)
        objects.add(key)
      }
    },
    findings(taken, at) {
      for (const key of taken.credentials) noteCredential(key)
      // Where its stream was, and where its object says that it is: those differ while one catches up.
      const where = [...taken.present].flatMap((name) => daemons.of(name))
      for (const place of new Set([...taken.places, ...where])) notePlace(place)
      for (const name of taken.present) moved.add(name)
      for (const name of taken.daemons.union(turned)) noteDaemon(name)
      const syncing = new Set([...taken.streams].map((name) => keyNamed('Daemon', name)))
      for (const binding of taken.bindings.values()) noteEffect(binding)
      for (const key of expiries.take(at)) noteCredential(key)
      for (const key of tokenExpiries.take(at)) objects.add(key)
      for (const key of unread) {
        const credential = credentialOf(key, at)
        if (credential) expiries.set(key, credential.expiresAt)
        else expiries.delete(key)
      }
      unread.clear()
      waits.releaseDue(at, (key) => credentialOf(key, at) !== undefined)
      const found = { places: places.all, objects, unhurried, syncing, moved, targets }
      places = openMultimap()
      objects = new Set()
      unhurried = new Set()
      moved = new Set()
      turned = new Set()
      targets = false
      return found
    },
  }
}
