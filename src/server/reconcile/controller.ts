import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { Bell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { TrustDomain } from '#model/identity'
import type { Kind, ResourceOf } from '#model/resource'
import {
  stsEndpoint,
  type Exchanges,
  type ExchangeState,
  type ExchangeTarget,
  type Probes,
} from '#server/exchange'
import { isBeingDeleted, type ResourceCache, type Resources } from '#server/store'
import { judgeCredentialBinding } from './credential-binding.ts'
import { judgeCredentialSource } from './credential-source.ts'
import { judgeDaemon } from './daemon.ts'
import { collectReports, nextStatus, type DesiredStatus } from './desired-status.ts'
import { makePlan, type Objects, type Plan } from './plan.ts'
import { expiryOf, judgeJoinToken } from './join-token.ts'
import { judgeService } from './service.ts'
import type { ScopeStreams } from './scopes.ts'
import { openStatusWriter } from './status-writer.ts'
import { judgeVerifier } from './verifier.ts'
import { judgeWorkloadCredential } from './workload-credential.ts'
import { judgeWorkloadIdentity } from './workload-identity.ts'
import type { World } from './world.ts'

export interface ReconcilerOptions {
  cache: ResourceCache
  resources: Resources
  exchanges: Exchanges
  probes: Probes
  scopes: ScopeStreams
  /** Rung by exchanges, probes and scopes. */
  changes: Bell
  trustDomain: TrustDomain
  clock: Clock
  log: Log
  metrics?: Metrics
}

/** Turns every change into what follows from it: exchanges, scopes of daemons, states of objects. */
export interface Reconciler {
  run(options: { signal: AbortSignal }): Promise<void>
  /**
   * Exchanges the credential of a binding now.
   * @throws Fault RESOURCE_NOT_FOUND, CREDENTIAL_UNAVAILABLE for a binding that is not in force
   */
  rotate(namespace: string, bindingName: string): Promise<ExchangeState>
}

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
  const { cache, resources, exchanges, probes, scopes, changes, trustDomain, clock, log } = options
  const { metrics = silentMetrics } = options

  function reconcile(
    at: EpochMs,
    set: <K extends Kind>(object: ResourceOf<K>, desired: DesiredStatus<K>) => void,
  ): World {
    const objects = living(cache)
    const plan = makePlan(objects, trustDomain)
    exchanges.require(targetsOf(plan))
    const sources = objects.list('CredentialSource').flatMap(({ spec }) => spec.aws ?? [])
    probes.watch(new Set(sources.map((aws) => stsEndpoint(aws).origin)))
    scopes.publish(plan, (key) => exchanges.state(key)?.credential)
    const streams = scopes.streams()
    const world: World = {
      at,
      objects,
      plan,
      streams,
      reports: collectReports(streams),
      exchangeState: (key) => exchanges.state(key),
      discovery: () => probes.discovery(),
      endpoint: (origin) => probes.endpoint(origin),
    }
    for (const object of objects.list('WorkloadIdentity')) set(object, judgeWorkloadIdentity(object, world))
    for (const object of objects.list('Service')) set(object, judgeService(object, world))
    for (const object of objects.list('CredentialSource')) set(object, judgeCredentialSource(object, world))
    for (const object of objects.list('CredentialBinding')) set(object, judgeCredentialBinding(object, world))
    for (const object of objects.list('WorkloadCredential')) set(object, judgeWorkloadCredential(object))
    for (const object of objects.list('Verifier')) set(object, judgeVerifier(object))
    for (const object of objects.list('JoinToken')) set(object, judgeJoinToken(object, at))
    return world
  }

  /** Waits for a change, or for the next moment at which a state changes by itself. */
  async function untilNextLook(heard: number, at: EpochMs, signal: AbortSignal): Promise<void> {
    const ahead = cache.list('JoinToken').map((token) => expiryOf(token) - at)
    const waitMs = Math.min(maxWaitMs, ...ahead.filter((ms) => ms > 0))
    const waited = new AbortController()
    clock.sleep(waitMs, { signal: waited.signal, unref: true }).then(
      () => changes.ring(),
      () => {},
    )
    await changes.after(heard, signal)
    waited.abort()
  }

  return {
    async run({ signal }) {
      await using writer = openStatusWriter({ resources, clock, log, metrics })
      using subscription = new DisposableStack()
      subscription.defer(cache.onChange(() => changes.ring()))
      while (!signal.aborted) {
        const heard = changes.rings
        const started = clock.monotonic()
        const at = clock.now()
        const world = reconcile(at, (object, desired) =>
          writer.set(object, (current) => nextStatus(current, desired, at)),
        )
        for (const daemon of cache.list('Daemon')) {
          const conditions = judgeDaemon(daemon, world)
          writer.set<'Daemon'>(daemon, (current) => {
            const { state = 'PENDING', message = '' } = current.status ?? {}
            return nextStatus<'Daemon'>(current, { state, message, conditions }, at)
          })
        }
        metrics.observe('reconcile_duration_seconds', {}, (clock.monotonic() - started) / 1000)
        await untilNextLook(heard, at, signal)
        // What changes together is looked at once, and I/O gets its turn between two looks.
        await nextTick()
      }
    },
    async rotate(namespace, bindingName) {
      const object = cache.get('CredentialBinding', namespace, bindingName)
      if (!object) {
        const message = `credentialbindings.core.riptides.io ${JSON.stringify(bindingName)} not found`
        throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
      }
      const plan = makePlan(living(cache), trustDomain)
      const key = plan.bindings.get(object.metadata.uid)?.key
      const state = key === undefined ? undefined : await exchanges.rotateNow(key)
      if (state) return state
      const why = plan.problems.get(object.metadata.uid)?.message ?? 'its first exchange has not begun'
      const message = `CredentialBinding ${bindingName} has no credential to rotate: ${why}`
      throw new Fault('CREDENTIAL_UNAVAILABLE', message, { publicText: message })
    },
  }
}
