import { setImmediate as nextTurn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { openBell } from '#base/lifecycle'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { Credential } from '#model/credential'
import type { SpiffeId } from '#model/identity'
import { satisfiesCapture, type Scope, type ScopedBinding, type ScopeUpdate } from '#model/scope'
import type { Changes } from './changes.ts'
import { Delivery } from './delivery.ts'
import { openMultimap } from './multimap.ts'
import { placesOf, type Place, type Plan, type PlannedBinding } from './plan.ts'
import type { FollowingDaemon, ReportedCondition, Scopes } from './ports.ts'
import { differing, nothingLeftOut, type LeftOut } from './room.ts'
import { scopeFor } from './scope-delta.ts'

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

interface Connected {
  readonly daemon: FollowingDaemon
  readonly delivery: Delivery
  /** What did not fit when it was last found out what it should have. */
  leftOut: LeftOut
  /** All that it says, and what of that is its own to say. */
  said: readonly ReportedCondition[]
  conditions: readonly ReportedCondition[]
  /** Wakes `follow`, where that waits for something to do. */
  wake: () => void
  isOver: boolean
}

interface Following extends Connected {
  /** What others see of it. */
  readonly view: LocalStream
}

/** Streams that are brought up to date in one turn of the event loop; acknowledgements have theirs in between. */
const streamsAtOnce = 16

/**
 * SECURITY: a daemon speaks of itself, and of what it has: what it says of an object stands in the state of that, with
 * what to do about it, and it could name any of all namespaces.
 */
function isItsOwn(subject: string, { identities, services, bindings }: Scope): boolean {
  const [, kind, name = ''] = /^([^/]*)\/(.*)$/s.exec(subject.toLowerCase()) ?? [subject, subject]
  if (kind === 'workloadidentity') return identities.has(name)
  if (kind === 'service') return services.has(name)
  return kind === 'credentialbinding' ? bindings.has(name) : subject === 'daemon'
}

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
  const stale = new Map<Connected, ReadonlySet<SpiffeId> | 'all'>()
  let isRefreshing = false

  /**
   * Finds out what the daemon should have by now.
   * SECURITY: to be called before anything is sent, so that nothing goes out that was withdrawn meanwhile.
   */
  function refresh(stream: Connected): void {
    const changed = stale.get(stream)
    if (!changed || !current) return
    stale.delete(stream)
    const { plan, credentialOf } = current
    const { daemon, delivery } = stream
    const leftOut = plan.leftOut(placesOf(daemon))
    const known = stream.leftOut
    stream.leftOut = leftOut
    const earlier = changed !== 'all' && {
      scope: delivery.wanted,
      changed: known === leftOut ? changed : changed.union(differing(known, leftOut)),
    }
    delivery.want(scopeFor(plan, daemon, credentialOf, { leftOut, ...(earlier && { earlier }) }))
    hear(stream)
    if (!delivery.isAllSent) stream.wake()
  }

  /** To be called whenever what a daemon says has changed, or what it has. */
  function hear(stream: Connected): void {
    const { daemon, delivery, said } = stream
    const conditions = said.filter(({ subject }) => isItsOwn(subject, delivery.wanted))
    // Heartbeats mostly say what was said before.
    if (isDeepStrictEqual(stream.conditions, conditions)) return
    stream.conditions = conditions
    changes.daemon(daemon.name)
  }

  function note(stream: Connected, changed: ReadonlySet<SpiffeId>): void {
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

  function send(stream: Connected): ScopeUpdate {
    const { update, bereft } = stream.delivery.send()
    metrics.count('scope_updates', {})
    changes.stream(stream.daemon.name, bereft)
    return update
  }

  /** Made once for each stream: states are judged by those of a whole group at a time. */
  function viewOf(stream: Connected): LocalStream {
    const { daemon, delivery } = stream
    const effectOfScoped = (binding: ScopedBinding): Effect => {
      if (!satisfiesCapture(daemon.captureLevel, binding.minimumCapture)) return { state: 'WITHHELD' }
      if (delivery.isAcknowledged(binding)) {
        // Not before: what is pending would be sent at once, and again with what follows it.
        refresh(stream)
        if (!delivery.isUnsent(binding)) return { state: 'OK' }
      }
      const { error } = delivery
      return error === undefined ? { state: 'PENDING' } : { state: 'FAILED', message: error }
    }
    return {
      daemon,
      get wanted() {
        refresh(stream)
        return delivery.wanted
      },
      get conditions() {
        return stream.conditions
      },
      get isArriving() {
        return delivery.acknowledged === 0 && delivery.error === undefined
      },
      get synchronised() {
        refresh(stream)
        const { isAllSent, acknowledged, revision, error } = delivery
        return isAllSent && acknowledged === revision && acknowledged > 0 && error === undefined
      },
      get sent() {
        return delivery.revision
      },
      get acknowledged() {
        return delivery.acknowledged
      },
      get error() {
        return delivery.error
      },
      effectOfScoped,
      effectOf: ({ scoped }) => effectOfScoped(scoped),
    }
  }

  function end(stream: Connected): void {
    stream.isOver = true
    stream.wake()
  }

  function enter(stream: Following): void {
    const { daemon } = stream
    const before = following.get(daemon.name)
    if (before) {
      leave(before)
      end(before)
    }
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
    const connected: Connected = {
      daemon,
      delivery: new Delivery(),
      leftOut: nothingLeftOut,
      said: [],
      conditions: [],
      wake: () => {},
      isOver: false,
    }
    const stream: Following = Object.assign(connected, { view: viewOf(connected) })
    // One listener for all that it will wait for: one for each wait costs more than the wait.
    signal.addEventListener('abort', () => end(stream), { once: true })
    if (signal.aborted) return
    enter(stream)
    try {
      if (!current) await firstPlan.after(0, signal)
      if (!current || stream.isOver) return
      stale.set(stream, 'all')
      refresh(stream)
      yield send(stream)
      while (!stream.isOver) {
        refresh(stream)
        if (!stream.delivery.isAllSent) yield send(stream)
        else await new Promise<void>((resolve) => (stream.wake = resolve))
      }
    } finally {
      leave(stream)
    }
  }

  return {
    follow,
    acknowledge(daemonName, revision, error, leftOut) {
      const concerned = following.get(daemonName)?.delivery.acknowledge(revision, error, leftOut)
      if (concerned) changes.stream(daemonName, concerned)
    },
    observe(daemonName, said) {
      const stream = following.get(daemonName)
      if (!stream) return
      stream.said = said
      hear(stream)
    },
    boundHosts(daemonName) {
      const stream = following.get(daemonName)
      if (stream) refresh(stream)
      const services = [...(stream?.delivery.wanted.services.values() ?? [])]
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
