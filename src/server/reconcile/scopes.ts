import { openBell, type Bell } from '#base/lifecycle'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { Credential } from '#model/credential'
import {
  credentialKey,
  emptyScope,
  satisfiesCapture,
  type Scope,
  type ScopedBinding,
  type ScopeUpdate,
} from '#model/scope'
import type { Plan, PlannedBinding } from './plan.ts'
import type { FollowingDaemon, ReportedCondition, Scopes } from './ports.ts'
import { deltaBetween, newCredentials, scopeFor, touchedBindings, type Delta } from './scope-delta.ts'

/** What is known of a binding on one connected daemon. */
export type Effect =
  | { readonly state: 'OK' | 'PENDING' | 'WITHHELD' }
  | { readonly state: 'FAILED'; readonly message: string }

/** The stream of one daemon. */
export interface Stream {
  readonly daemon: FollowingDaemon
  readonly conditions: readonly ReportedCondition[]
  /** Everything that was sent is in effect. */
  readonly synchronised: boolean
  /** Why the daemon could not put the newest update into effect. */
  readonly error: string | undefined
  /** How far the binding is, credential included. */
  readonly effectOf: (binding: PlannedBinding) => Effect
}

/** The stream of a daemon that is connected here. */
export interface LocalStream extends Stream {
  /** What it should have. */
  readonly wanted: Scope
  readonly effectOfScoped: (binding: ScopedBinding) => Effect
}

export interface ScopeStreams extends Scopes {
  /** Gives every stream what follows from the plan now. */
  publish(plan: Plan, credentialOf: (key: string) => Credential | undefined): void
  streams(): readonly LocalStream[]
}

interface Following {
  readonly daemon: FollowingDaemon
  readonly bell: Bell
  /** What the daemon should have, and what it was sent so far. */
  wanted: Scope
  sent: Scope
  revision: number
  acknowledged: number
  error: string | undefined
  /** By binding name and credential key: the revision from which on it is in effect. */
  readonly bindingSince: Map<string, number>
  readonly credentialSince: Map<string, number>
  conditions: readonly ReportedCondition[]
  readonly replaced: AbortController
}

/** `changes` rings whenever what daemons have, or say, changed. */
export function openScopes({
  changes,
  metrics = silentMetrics,
}: {
  changes: Bell
  metrics?: Metrics
}): ScopeStreams {
  const following = new Map<string, Following>()
  let current: { plan: Plan; credentialOf: (key: string) => Credential | undefined } | undefined
  const firstPlan = openBell()

  /** Notes the update as sent, and from which revision what it brings counts. */
  function send(stream: Following, delta: Delta, reset: boolean): ScopeUpdate {
    const before = reset ? emptyScope : stream.sent
    const revision = ++stream.revision
    for (const name of touchedBindings(stream.wanted, delta)) stream.bindingSince.set(name, revision)
    for (const key of newCredentials(before, delta)) stream.credentialSince.set(key, revision)
    for (const name of delta.remove.bindings) stream.bindingSince.delete(name)
    for (const key of delta.remove.credentials) stream.credentialSince.delete(key)
    stream.sent = stream.wanted
    metrics.count('scope_updates', {})
    changes.ring()
    return { revision, reset, ...delta }
  }

  function describe(stream: Following): LocalStream {
    const { daemon, wanted, sent, revision, acknowledged, error, bindingSince, credentialSince } = stream
    const delta = deltaBetween(sent, wanted)
    const unsent = new Set(delta && touchedBindings(wanted, delta))
    const effectOfScoped = ({ name, spiffeId, sourceName, minimumCapture }: ScopedBinding): Effect => {
      if (!satisfiesCapture(daemon.captureLevel, minimumCapture)) return { state: 'WITHHELD' }
      const credentialFrom = credentialSince.get(credentialKey(spiffeId, sourceName)) ?? Infinity
      const since = Math.max(bindingSince.get(name) ?? Infinity, credentialFrom)
      if (!unsent.has(name) && since <= acknowledged) return { state: 'OK' }
      return error === undefined ? { state: 'PENDING' } : { state: 'FAILED', message: error }
    }
    return {
      daemon,
      wanted,
      conditions: stream.conditions,
      synchronised: delta === undefined && acknowledged === revision && revision > 0,
      error,
      effectOfScoped,
      effectOf: ({ scoped }) => effectOfScoped(scoped),
    }
  }

  async function* follow(
    daemon: FollowingDaemon,
    { signal: callerSignal }: { signal: AbortSignal },
  ): AsyncIterable<ScopeUpdate> {
    const stream: Following = {
      daemon,
      bell: openBell(),
      wanted: emptyScope,
      sent: emptyScope,
      revision: 0,
      acknowledged: 0,
      error: undefined,
      bindingSince: new Map(),
      credentialSince: new Map(),
      conditions: [],
      replaced: new AbortController(),
    }
    const signal = AbortSignal.any([callerSignal, stream.replaced.signal])
    following.get(daemon.name)?.replaced.abort()
    following.set(daemon.name, stream)
    metrics.gauge('daemons_connected', following.size)
    changes.ring()
    try {
      if (!current) await firstPlan.after(0, signal)
      if (!current || signal.aborted) return
      stream.wanted = scopeFor(current.plan, daemon, current.credentialOf)
      const nothing = { identities: [], services: [], bindings: [], credentials: [] }
      yield send(
        stream,
        deltaBetween(emptyScope, stream.wanted) ?? { upsert: nothing, remove: nothing },
        true,
      )
      while (!signal.aborted) {
        const heard = stream.bell.rings
        const delta = deltaBetween(stream.sent, stream.wanted)
        if (delta) yield send(stream, delta, false)
        else await stream.bell.after(heard, signal)
      }
    } finally {
      if (following.get(daemon.name) === stream) following.delete(daemon.name)
      metrics.gauge('daemons_connected', following.size)
      changes.ring()
    }
  }

  return {
    follow,
    acknowledge(daemonName, revision, error) {
      const stream = following.get(daemonName)
      if (!stream || revision > stream.revision || revision < stream.acknowledged) return
      if (error === undefined) {
        stream.acknowledged = revision
        if (revision === stream.revision) stream.error = undefined
      } else {
        stream.error = error
      }
      changes.ring()
    },
    observe(daemonName, conditions) {
      const stream = following.get(daemonName)
      if (!stream) return
      stream.conditions = conditions
      changes.ring()
    },
    boundHosts(daemonName) {
      const services = [...(following.get(daemonName)?.wanted.services.values() ?? [])]
      return [...new Set(services.flatMap(({ addresses }) => addresses.map(({ host }) => host)))]
    },
    publish(plan, credentialOf) {
      current = { plan, credentialOf }
      firstPlan.ring()
      for (const stream of following.values()) {
        stream.wanted = scopeFor(plan, stream.daemon, credentialOf)
        stream.bell.ring()
      }
    },
    streams: () => [...following.values()].map(describe),
  }
}
