import { setImmediate as nextTurn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { openBell } from '#base/lifecycle'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { Credential } from '#model/credential'
import type { SpiffeId } from '#model/identity'
import {
  credentialKey,
  emptyScope,
  satisfiesCapture,
  type Scope,
  type ScopedBinding,
  type ScopedCredential,
  type ScopeUpdate,
} from '#model/scope'
import type { Changes } from './changes.ts'
import { openMultimap } from './multimap.ts'
import { placesOf, type Place, type Plan, type PlannedBinding } from './plan.ts'
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
  /** Nothing that it was sent is in effect yet, or has failed. */
  readonly isArriving: boolean
  /** Everything that was sent is in effect. */
  readonly synchronised: boolean
  /** The newest revision that it was sent, and the newest that is in effect. */
  readonly sent: number
  readonly acknowledged: number
  /** Why the daemon could not put the newest update into effect. */
  readonly error: string | undefined
  /** How far the binding is, credential included. */
  readonly effectOf: (binding: PlannedBinding) => Effect
}

/** The stream of a daemon that is connected here, at this moment. */
export interface LocalStream extends Stream {
  /** What it should have. */
  readonly wanted: Scope
  readonly effectOfScoped: (binding: ScopedBinding) => Effect
}

export interface ScopeStreams extends Scopes {
  /** Gives every stream what follows from the plan now, or those at some places what some workloads get there. */
  publish(
    plan: Plan,
    credentialOf: (key: string) => Credential | undefined,
    where?: ReadonlyMap<Place, ReadonlySet<SpiffeId>> | 'all',
  ): void
  streams(): readonly LocalStream[]
  stream(daemonName: string): LocalStream | undefined
  streamsAt(place: Place): readonly LocalStream[]
}

interface Unsent {
  readonly delta: Delta
  /** Names of the bindings that it touches. */
  readonly bindings: ReadonlySet<string>
}

interface Progress {
  readonly daemon: FollowingDaemon
  /** Wakes `follow`, where that waits for something to do. */
  wake: () => void
  /** What the daemon should have, and what it was sent so far. */
  wanted: Scope
  sent: Scope
  /** What is yet to be sent. */
  unsent: Unsent | undefined
  revision: number
  acknowledged: number
  error: string | undefined
  /** By binding name and credential key: the revision from which on it is in effect. */
  readonly bindingSince: Map<string, number>
  readonly credentialSince: Map<string, number>
  /** Names of the bindings that what was sent since the newest acknowledgement bears on. */
  readonly awaited: Set<string>
  conditions: readonly ReportedCondition[]
  isOver: boolean
}

interface Following extends Progress {
  /** What others see of it. */
  readonly view: LocalStream
}

/** Streams that are brought up to date in one turn of the event loop; acknowledgements have theirs in between. */
const streamsAtOnce = 16

const nothing = { identities: [], services: [], bindings: [], credentials: [] }
const noUpdate: Unsent = { delta: { upsert: nothing, remove: nothing }, bindings: new Set() }

/** `changes` is told whenever what a daemon has, or says, changed. */
export function openScopes({
  changes,
  metrics = silentMetrics,
}: {
  changes: Pick<Changes, 'daemon' | 'stream' | 'presence'>
  metrics?: Metrics
}): ScopeStreams {
  const following = new Map<string, Following>()
  const at = openMultimap<Place, Following>()
  let current: { plan: Plan; credentialOf: (key: string) => Credential | undefined } | undefined
  const firstPlan = openBell()
  /** Those of which it has yet to be found out what they should have now, and of which workloads. */
  const stale = new Map<Progress, ReadonlySet<SpiffeId> | 'all'>()
  let isRefreshing = false

  /**
   * Finds out what the daemon should have by now.
   * SECURITY: to be called before anything is sent, so that nothing goes out that was withdrawn meanwhile.
   */
  function refresh(stream: Progress): void {
    const changed = stale.get(stream)
    if (!changed || !current) return
    stale.delete(stream)
    const { plan, credentialOf } = current
    const earlier = changed === 'all' ? undefined : { scope: stream.wanted, changed }
    const wanted = scopeFor(plan, stream.daemon, credentialOf, earlier)
    const delta = deltaBetween(stream.sent, wanted)
    stream.wanted = delta ? wanted : stream.sent
    stream.unsent = delta && { delta, bindings: new Set(touchedBindings(wanted, delta)) }
    if (delta) stream.wake()
  }

  function note(stream: Progress, changed: ReadonlySet<SpiffeId>): void {
    const known = stale.get(stream)
    if (known !== 'all') stale.set(stream, known?.union(changed) ?? changed)
  }

  /** What changes again before its turn comes, as with the credential of a new binding, is sent once. */
  async function refreshAll(): Promise<void> {
    if (isRefreshing) return
    isRefreshing = true
    while (stale.size > 0) {
      for (const stream of stale.keys().take(streamsAtOnce)) refresh(stream)
      await nextTurn()
    }
    isRefreshing = false
  }

  /** The bindings of a daemon that use one of some credentials. */
  function bindingsUsing({ wanted }: Progress, credentials: readonly ScopedCredential[]): ScopedBinding[] {
    if (credentials.length === 0) return []
    const owners = new Set(credentials.map(({ spiffeId }) => spiffeId))
    const keys = new Set(credentials.map(({ spiffeId, sourceName }) => credentialKey(spiffeId, sourceName)))
    return [...wanted.bindings.values()].filter(
      ({ spiffeId, sourceName }) => owners.has(spiffeId) && keys.has(credentialKey(spiffeId, sourceName)),
    )
  }

  /** Notes the update as sent, and from which revision what it brings counts. */
  function send(stream: Progress, { delta, bindings }: Unsent, reset: boolean): ScopeUpdate {
    const before = reset ? emptyScope : stream.sent
    const revision = ++stream.revision
    const arriving = newCredentials(before, delta)
    const lost = delta.remove.credentials.flatMap((key) => before.credentials.get(key) ?? [])
    for (const name of bindings) {
      stream.bindingSince.set(name, revision)
      stream.awaited.add(name)
    }
    for (const { spiffeId, sourceName } of arriving) {
      stream.credentialSince.set(credentialKey(spiffeId, sourceName), revision)
    }
    for (const { name } of bindingsUsing(stream, arriving)) stream.awaited.add(name)
    for (const name of delta.remove.bindings) stream.bindingSince.delete(name)
    for (const key of delta.remove.credentials) stream.credentialSince.delete(key)
    stream.sent = stream.wanted
    stream.unsent = undefined
    metrics.count('scope_updates', {})
    changes.stream(stream.daemon.name, bindingsUsing(stream, lost))
    return { revision, reset, ...delta }
  }

  /** From which revision on a binding and its credential are in effect; Infinity: not by what was sent. */
  function effectiveFrom(stream: Progress, { name, spiffeId, sourceName }: ScopedBinding): number {
    const credentialFrom = stream.credentialSince.get(credentialKey(spiffeId, sourceName)) ?? Infinity
    return Math.max(stream.bindingSince.get(name) ?? Infinity, credentialFrom)
  }

  /** Made once for each stream: states are judged by those of a whole group at a time. */
  function viewOf(stream: Progress): LocalStream {
    const { daemon } = stream
    const isUnsent = ({ name }: ScopedBinding) => {
      refresh(stream)
      return stream.unsent?.bindings.has(name) === true
    }
    const effectOfScoped = (binding: ScopedBinding): Effect => {
      const { acknowledged, error } = stream
      if (!satisfiesCapture(daemon.captureLevel, binding.minimumCapture)) return { state: 'WITHHELD' }
      if (effectiveFrom(stream, binding) <= acknowledged && !isUnsent(binding)) return { state: 'OK' }
      return error === undefined ? { state: 'PENDING' } : { state: 'FAILED', message: error }
    }
    return {
      daemon,
      get wanted() {
        refresh(stream)
        return stream.wanted
      },
      get conditions() {
        return stream.conditions
      },
      get isArriving() {
        return stream.acknowledged === 0 && stream.error === undefined
      },
      get synchronised() {
        refresh(stream)
        const { unsent, acknowledged, revision } = stream
        return unsent === undefined && acknowledged === revision && acknowledged > 0
      },
      get sent() {
        return stream.revision
      },
      get acknowledged() {
        return stream.acknowledged
      },
      get error() {
        return stream.error
      },
      effectOfScoped,
      effectOf: ({ scoped }) => effectOfScoped(scoped),
    }
  }

  function end(stream: Progress): void {
    stream.isOver = true
    stream.wake()
  }

  function enter(stream: Following): void {
    const { daemon } = stream
    const before = following.get(daemon.name)
    if (before) leave(before)
    if (before) end(before)
    following.set(daemon.name, stream)
    for (const place of placesOf(daemon)) at.add(place, stream)
    metrics.gauge('daemons_connected', following.size)
    changes.presence(daemon.name, placesOf(daemon))
  }

  function leave(stream: Following): void {
    const { daemon } = stream
    if (following.get(daemon.name) === stream) following.delete(daemon.name)
    stale.delete(stream)
    for (const place of placesOf(daemon)) at.delete(place, stream)
    metrics.gauge('daemons_connected', following.size)
    changes.presence(daemon.name, placesOf(daemon))
  }

  async function* follow(
    daemon: FollowingDaemon,
    { signal }: { signal: AbortSignal },
  ): AsyncIterable<ScopeUpdate> {
    const progress: Progress = {
      daemon,
      wake: () => {},
      wanted: emptyScope,
      sent: emptyScope,
      unsent: undefined,
      revision: 0,
      acknowledged: 0,
      error: undefined,
      bindingSince: new Map(),
      credentialSince: new Map(),
      awaited: new Set(),
      conditions: [],
      isOver: false,
    }
    const stream: Following = Object.assign(progress, { view: viewOf(progress) })
    // One listener for all that it will wait for: one for each wait costs more than the wait.
    signal.addEventListener('abort', () => end(stream), { once: true })
    if (signal.aborted) return
    enter(stream)
    try {
      if (!current) await firstPlan.after(0, signal)
      if (!current || stream.isOver) return
      stale.set(stream, 'all')
      refresh(stream)
      yield send(stream, stream.unsent ?? noUpdate, true)
      while (!stream.isOver) {
        refresh(stream)
        if (stream.unsent) yield send(stream, stream.unsent, false)
        else await new Promise<void>((resolve) => (stream.wake = resolve))
      }
    } finally {
      leave(stream)
    }
  }

  return {
    follow,
    acknowledge(daemonName, revision, error) {
      const stream = following.get(daemonName)
      if (!stream || revision > stream.revision || revision < stream.acknowledged) return
      const before = stream.acknowledged
      const failed = stream.error !== undefined || error !== undefined
      if (error === undefined) {
        stream.acknowledged = revision
        if (revision === stream.revision) stream.error = undefined
      } else {
        stream.error = error
      }
      const concerned = failed ? stream.wanted.bindings.keys() : stream.awaited
      const bindings: ScopedBinding[] = []
      for (const name of concerned) {
        const binding = stream.wanted.bindings.get(name)
        const from = binding ? effectiveFrom(stream, binding) : 0
        if (binding && (failed || (from > before && from <= revision))) bindings.push(binding)
      }
      if (stream.acknowledged === stream.revision) stream.awaited.clear()
      changes.stream(daemonName, bindings)
    },
    observe(daemonName, conditions) {
      const stream = following.get(daemonName)
      // Heartbeats mostly say what was said before.
      if (!stream || isDeepStrictEqual(stream.conditions, conditions)) return
      stream.conditions = conditions
      changes.daemon(daemonName)
    },
    boundHosts(daemonName) {
      const stream = following.get(daemonName)
      if (stream) refresh(stream)
      const services = [...(stream?.wanted.services.values() ?? [])]
      return [...new Set(services.flatMap(({ addresses }) => addresses.map(({ host }) => host)))]
    },
    publish(plan, credentialOf, where = 'all') {
      current = { plan, credentialOf }
      firstPlan.ring()
      if (where === 'all') for (const stream of following.values()) stale.set(stream, 'all')
      else for (const [place, changed] of where) for (const stream of at.get(place)) note(stream, changed)
      void refreshAll()
    },
    streams: () => Array.from(following.values(), ({ view }) => view),
    stream: (daemonName) => following.get(daemonName)?.view,
    streamsAt: (place) => Array.from(at.get(place), ({ view }) => view),
  }
}
