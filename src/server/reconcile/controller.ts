import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import { afterAtMost, untilAborted } from '#base/lifecycle'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { TrustDomain } from '#model/identity'
import { defaultNamespace, kinds } from '#model/resource'
import {
  requestRotation,
  stsEndpoint,
  type Credentials,
  type Exchanges,
  type Probe,
  type Probes,
  type Rotation,
} from '#server/exchange'
import {
  isBeingDeleted,
  type ResourceCache,
  type ResourceEvent,
  type Resources,
  type Store,
} from '#server/store'
import { openAbsences, type Presence } from './absences.ts'
import type { Changes } from './changes.ts'
import { judgedKinds, openJudging, type Judging } from './judging.ts'
import { openMultimap } from './multimap.ts'
import { placesOf, type Place } from './plan.ts'
import type { ScopeStreams, Stream } from './scopes.ts'
import { openStatusWriter } from './status-writer.ts'
import type { StreamReports } from './stream-reports.ts'
import { keyOf, openSurvey } from './survey.ts'
import type { Streams, World } from './world.ts'

export interface ReconcilerOptions {
  store: Store
  cache: ResourceCache
  credentials: Credentials
  scopes: ScopeStreams
  reports: StreamReports
  /** How long a daemon is at no server before it counts as disconnected, where its own cannot say so any more. */
  missedAfterMs: number
  /** Told by credentials, exchanges, probes, scopes and reports. */
  changes: Changes
  trustDomain: TrustDomain
  clock: Clock
  log: Log
  metrics?: Metrics
}

/** What the server that leads has besides. */
export interface Lead {
  readonly signal: AbortSignal
  readonly exchanges: Exchanges
  readonly probes: Probes
  /** To write states with. */
  readonly resources: Resources
}

/** Turns every change into what follows from it. */
export interface Reconciler {
  /** Scopes of the daemons that are connected here. */
  run(options: { signal: AbortSignal }): Promise<void>
  /** Exchanges, and states of all objects, until its signal aborts; `run` runs beside it. */
  lead(options: Lead): Promise<void>
  /**
   * Exchanges the credential of a binding now.
   * @throws Fault RESOURCE_NOT_FOUND, CREDENTIAL_UNAVAILABLE for a binding that is not in force
   */
  rotate(namespace: string, bindingName: string): Promise<Rotation>
}

/** States are true within a second: how long those wait in which many daemons have a part. */
const wideMs = 200

export function openReconciler(options: ReconcilerOptions): Reconciler {
  const { store, cache, credentials, scopes, reports, changes, trustDomain, clock, log } = options
  const { missedAfterMs, metrics = silentMetrics } = options
  let streams: Streams = scopes
  const survey = openSurvey({
    trustDomain,
    valid: (key, target, at) => credentials.of(key, target, at),
    streamOf: (name) => streams.stream(name),
  })
  const { plan } = survey
  let leading: (Lead & { readonly judging: Judging }) | undefined
  /** What the one who took the lead has not looked at yet. */
  let isNew = false
  let unheard: ResourceEvent[] = []
  const absences = openAbsences({
    daemonNamed: (name) => cache.get('Daemon', defaultNamespace, name),
    presenceOf: (name) => presenceOf(streams.stream(name)),
    onSettled(name) {
      // In the look that says of others that it is not there, and not with what daemons say of themselves.
      if (absences.isMissed(name)) leading?.judging.add([`Daemon ${defaultNamespace}/${name}`])
      changes.presence(name, [])
    },
    afterMs: missedAfterMs,
    clock,
  })
  /** What probes had found at the last look. */
  let probed: readonly Probe[] = []

  function absorb(): void {
    const events = unheard
    unheard = []
    survey.absorb(events)
  }

  function worldAt(at: EpochMs, { exchanges, probes }: Lead): World {
    return {
      at,
      plan,
      daemonsAt: survey.daemonsAt,
      streams,
      isGone: survey.isGone,
      reports: survey.reports,
      leftOut: survey.leftOut,
      obstacleTo: survey.obstacleTo,
      exchangeState(key) {
        const target = plan.targets.get(key)
        if (!target) return undefined
        // What is given out, and not what an exchange has brought only just now.
        const credential = credentials.of(key, target, at)
        const { failure, isUntried } = exchanges.state(key) ?? {}
        const known = { ...(failure && { failure }), ...(isUntried && { isUntried }) }
        return { target, ...(credential && { credential }), ...known }
      },
      discovery: () => probes.discovery(),
      endpoint: (origin) => probes.endpoint(origin),
    }
  }

  /** What probes have found since the last look concerns every source, and what waits for one. */
  function lookAtProbes({ probes, judging }: NonNullable<typeof leading>): void {
    const sources = cache.list('CredentialSource').filter((source) => !isBeingDeleted(source))
    const origins = new Set(sources.flatMap(({ spec }) => (spec.aws ? [stsEndpoint(spec.aws).origin] : [])))
    probes.watch(origins)
    const found = [probes.discovery(), ...[...origins].map((origin) => probes.endpoint(origin))]
    if (found.length === probed.length && found.every((probe, index) => probe === probed[index])) return
    probed = found
    judging.add([...sources, ...cache.list('CredentialBinding')].map(keyOf))
  }

  /** Brings scopes and states to what follows from everything now; false when there are more states to judge. */
  function look(at: EpochMs): boolean {
    absorb()
    streams = everywhere(scopes, reports)
    const found = survey.findings(changes.take(), at)
    scopes.publish(plan, (key) => survey.credentialOf(key, clock.now()), found.places)
    if (!leading) return true
    const { judging, exchanges } = leading
    if (found.targets || isNew) exchanges.require(plan.targets)
    if (isNew) for (const kind of judgedKinds) judging.add(cache.list(kind).map(keyOf))
    isNew = false
    for (const name of found.moved) absences.look(name)
    judging.add(found.objects)
    judging.postpone(found.unhurried, wideMs)
    judging.follow(found.syncing)
    lookAtProbes(leading)
    return judging.judgeSome(worldAt(at, leading))
  }

  /** Waits for a change, or for the next moment at which a state changes by itself. */
  async function untilNextLook(heard: number, at: EpochMs, signal: AbortSignal): Promise<void> {
    const dueInMs = Math.max(0, survey.nextDue() - at)
    const waitMs = Math.min(leading?.judging.dueInMs() ?? Infinity, dueInMs)
    await afterAtMost(changes, heard, { ms: waitMs, clock, signal })
  }

  return {
    async run({ signal }) {
      using subscription = new DisposableStack()
      subscription.defer(
        cache.onChange((events) => {
          unheard.push(...events)
          changes.ring()
        }),
      )
      subscription.defer(
        clock.onJump(() => {
          survey.lookAgain()
          changes.ring()
        }),
      )
      for (const { kind } of kinds) {
        survey.absorb(cache.list(kind).map((object) => ({ type: 'ADDED', object })))
      }
      while (!signal.aborted) {
        const heard = changes.rings
        const started = clock.monotonic()
        const at = clock.now()
        const done = look(at)
        metrics.observe('reconcile_duration_seconds', {}, (clock.monotonic() - started) / 1000)
        if (done) await untilNextLook(heard, at, signal)
        // What changes together is looked at once, and I/O gets its turn between two looks.
        await nextTick()
      }
    },
    async lead(lead) {
      await using writer = openStatusWriter({ resources: lead.resources, clock, log, metrics })
      leading = { ...lead, judging: openJudging({ cache, writer, clock, absences }) }
      isNew = true
      absences.begin(cache.list('Daemon'))
      changes.ring()
      await untilAborted(lead.signal)
      leading = undefined
    },
    async rotate(namespace, bindingName) {
      const object = cache.get('CredentialBinding', namespace, bindingName)
      if (!object) {
        const message = `credentialbindings.core.riptides.io ${JSON.stringify(bindingName)} not found`
        throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
      }
      absorb()
      const key = plan.bindings.get(object.metadata.uid)?.key
      const rotation = key === undefined ? undefined : await requestRotation(store, clock, key)
      if (rotation) return rotation
      const why = plan.problems.get(object.metadata.uid)?.message ?? 'its first exchange has not begun'
      const message = `CredentialBinding ${bindingName} has no credential to rotate: ${why}`
      throw new Fault('CREDENTIAL_UNAVAILABLE', message, { publicText: message })
    },
  }
}

function presenceOf(stream: Stream | undefined): Presence {
  if (!stream) return 'absent'
  return stream.isArriving ? 'arriving' : 'here'
}

/** The streams of all servers, of the others as of this moment. */
function everywhere(scopes: ScopeStreams, reports: StreamReports): Streams {
  const remote = reports.remote()
  if (remote.length === 0) return scopes
  const named = new Map(remote.map((stream) => [stream.daemon.name, stream]))
  const at = openMultimap<Place, Stream>()
  for (const stream of remote) for (const place of placesOf(stream.daemon)) at.add(place, stream)
  return {
    stream: (name) => scopes.stream(name) ?? named.get(name),
    streamsAt: (place) => [...scopes.streamsAt(place), ...at.get(place)],
  }
}
