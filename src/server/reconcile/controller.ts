import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import { afterAtMost, untilAborted, type Bell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { TrustDomain } from '#model/identity'
import type { Daemon, Kind, ResourceOf } from '#model/resource'
import {
  requestRotation,
  stsEndpoint,
  type Credentials,
  type Exchanges,
  type ExchangeTarget,
  type Probes,
  type Rotation,
} from '#server/exchange'
import { isBeingDeleted, type ResourceCache, type Resources, type Store } from '#server/store'
import { judgeCredentialBinding } from './credential-binding.ts'
import { judgeCredentialSource } from './credential-source.ts'
import { judgeDaemon } from './daemon.ts'
import { collectReports, nextStatus, type DesiredStatus } from './desired-status.ts'
import { makePlan, type Objects, type Plan } from './plan.ts'
import { expiryOf, judgeJoinToken } from './join-token.ts'
import { judgeService } from './service.ts'
import type { ScopeStreams } from './scopes.ts'
import { openStatusWriter, type StatusWriter } from './status-writer.ts'
import type { StreamReports } from './stream-reports.ts'
import { judgeVerifier } from './verifier.ts'
import { judgeWorkloadCredential } from './workload-credential.ts'
import { judgeWorkloadIdentity } from './workload-identity.ts'
import type { World } from './world.ts'

export interface ReconcilerOptions {
  store: Store
  cache: ResourceCache
  credentials: Credentials
  scopes: ScopeStreams
  reports: StreamReports
  /** How long a daemon is not seen at any server before it counts as disconnected; 0: its own server says so. */
  missedAfterMs: number
  /** Rung by credentials, exchanges, probes, scopes and reports. */
  changes: Bell
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

const missing = { state: 'DISCONNECTED', message: 'not connected since its server has gone' } as const
const isConnected = ({ status }: Daemon) => status?.state === 'OK' || status?.state === 'FAILED'

// Timers take no more than 24.8 days.
const maxWaitMs = 24 * 3_600_000

/** The targets that the bindings in force need. */
function targetsOf(plan: Plan): Map<string, ExchangeTarget> {
  return new Map(
    [...plan.bindings.values()].map(({ key, scoped, source }) => [
      key,
      { spiffeId: scoped.spiffeId, sourceName: scoped.sourceName, aws: source.spec.aws! },
    ]),
  )
}

/**
 * The objects that are not being deleted.
 * SECURITY: a deletion takes effect at once, whatever finalizers keep the object for.
 */
function living(cache: Pick<ResourceCache, 'list'>): Objects {
  return { list: (kind) => cache.list(kind).filter((object) => !isBeingDeleted(object)) }
}

export function openReconciler(options: ReconcilerOptions): Reconciler {
  const { store, cache, credentials, scopes, reports, changes, trustDomain, clock, log } = options
  const { missedAfterMs, metrics = silentMetrics } = options
  let leading: (Lead & { readonly writer: StatusWriter }) | undefined
  /** Since when a daemon that was connected is not seen anywhere. */
  const unseenSince = new Map<string, number>()

  /** Everything that one who leads decides, from the same plan that daemons here got their scopes from. */
  function judgeAll(
    { exchanges, probes, writer }: NonNullable<typeof leading>,
    plan: Plan,
    targets: ReadonlyMap<string, ExchangeTarget>,
    at: EpochMs,
  ): void {
    const objects = living(cache)
    exchanges.require(targets)
    const sources = objects.list('CredentialSource').flatMap(({ spec }) => spec.aws ?? [])
    probes.watch(new Set(sources.map((aws) => stsEndpoint(aws).origin)))
    const streams = [...scopes.streams(), ...reports.remote()]
    const world: World = {
      at,
      objects,
      plan,
      streams,
      reports: collectReports(streams),
      exchangeState(key) {
        const target = targets.get(key)
        if (!target) return undefined
        // What is given out, and not what an exchange has brought only just now.
        const credential = credentials.of(target, at)
        const failure = exchanges.state(key)?.failure
        return { target, ...(credential && { credential }), ...(failure && { failure }) }
      },
      discovery: () => probes.discovery(),
      endpoint: (origin) => probes.endpoint(origin),
    }
    const set = <K extends Kind>(object: ResourceOf<K>, desired: DesiredStatus<K>) =>
      writer.set(object, (current) => nextStatus(current, desired, at))
    for (const object of objects.list('WorkloadIdentity')) set(object, judgeWorkloadIdentity(object, world))
    for (const object of objects.list('Service')) set(object, judgeService(object, world))
    for (const object of objects.list('CredentialSource')) set(object, judgeCredentialSource(object, world))
    for (const object of objects.list('CredentialBinding')) set(object, judgeCredentialBinding(object, world))
    for (const object of objects.list('WorkloadCredential')) set(object, judgeWorkloadCredential(object))
    for (const object of objects.list('Verifier')) set(object, judgeVerifier(object))
    for (const object of objects.list('JoinToken')) set(object, judgeJoinToken(object, at))
    judgeDaemons(world, writer)
  }

  function judgeDaemons(world: World, writer: StatusWriter): void {
    const seen = new Set(world.streams.map(({ daemon }) => daemon.name))
    for (const daemon of cache.list('Daemon')) {
      const conditions = judgeDaemon(daemon, world)
      const missed = isMissed(daemon, seen.has(daemon.metadata.name))
      writer.set<'Daemon'>(daemon, (current) => {
        const { state = 'PENDING', message = '' } = current.status ?? {}
        const said = missed && isConnected(current) ? missing : { state, message }
        return nextStatus<'Daemon'>(current, { ...said, conditions }, world.at)
      })
    }
  }

  /** Whether the daemon's own server cannot say any more that it is gone. */
  function isMissed(daemon: Daemon, isSeen: boolean): boolean {
    const { name } = daemon.metadata
    if (isSeen || !isConnected(daemon) || missedAfterMs === 0) {
      unseenSince.delete(name)
      return false
    }
    const now = clock.monotonic()
    if (!unseenSince.has(name)) {
      unseenSince.set(name, now)
      clock.sleep(missedAfterMs, { unref: true }).then(
        () => changes.ring(),
        () => {},
      )
    }
    return now - unseenSince.get(name)! >= missedAfterMs
  }

  /** Waits for a change, or for the next moment at which a state changes by itself. */
  async function untilNextLook(heard: number, at: EpochMs, signal: AbortSignal): Promise<void> {
    const ends = [credentials.nextExpiry(), ...cache.list('JoinToken').map(expiryOf)]
    const waitMs = Math.min(maxWaitMs, ...ends.map((end) => end - at).filter((ms) => ms > 0))
    await afterAtMost(changes, heard, { ms: waitMs, clock, signal })
  }

  return {
    async run({ signal }) {
      using subscription = new DisposableStack()
      subscription.defer(cache.onChange(() => changes.ring()))
      while (!signal.aborted) {
        const heard = changes.rings
        const started = clock.monotonic()
        const at = clock.now()
        const plan = makePlan(living(cache), trustDomain)
        const targets = targetsOf(plan)
        scopes.publish(plan, (key) => {
          const target = targets.get(key)
          return target && credentials.of(target, at)
        })
        if (leading) judgeAll(leading, plan, targets, at)
        metrics.observe('reconcile_duration_seconds', {}, (clock.monotonic() - started) / 1000)
        await untilNextLook(heard, at, signal)
        // What changes together is looked at once, and I/O gets its turn between two looks.
        await nextTick()
      }
    },
    async lead(lead) {
      await using writer = openStatusWriter({ resources: lead.resources, clock, log, metrics })
      leading = { ...lead, writer }
      unseenSince.clear()
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
      const plan = makePlan(living(cache), trustDomain)
      const key = plan.bindings.get(object.metadata.uid)?.key
      const rotation = key === undefined ? undefined : await requestRotation(store, clock, key)
      if (rotation) return rotation
      const why = plan.problems.get(object.metadata.uid)?.message ?? 'its first exchange has not begun'
      const message = `CredentialBinding ${bindingName} has no credential to rotate: ${why}`
      throw new Fault('CREDENTIAL_UNAVAILABLE', message, { publicText: message })
    },
  }
}
