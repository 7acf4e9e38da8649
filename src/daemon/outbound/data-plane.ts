import type { Socket } from 'node:net'
import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import type { ConnectionOrigin } from '#daemon/capture'
import { openLeaves } from '#daemon/intercept'
import type { SpiffeId } from '#model/identity'
import { openPolicy } from '#model/policy'
import { emptyScope, type Scope } from '#model/scope'
import { Backlogs } from './backlog.ts'
import { Counts } from './bounds.ts'
import { openConditions, type Condition, type Problem } from './conditions.ts'
import { openDialler } from './dial.ts'
import { Intake, type Connection } from './intake.ts'
import { openLedger } from './ledger.ts'
import { openLookUps, type LookUp, type Resolve } from './lookups.ts'
import { defaultLimits, type Limits } from './limits.ts'
import type { Counters, Plane } from './plane.ts'
import type { AuditSink, ConnectTo, Identifier, LeafAuthority } from './ports.ts'
import { reset } from './reset.ts'
import { revocation } from './route.ts'
import { openSkews } from './skew.ts'
import { openTrustSets, type UpstreamTrust } from './trust.ts'
import { openUpstreams } from './upstreams.ts'

export interface DataPlaneOptions {
  readonly clock: Clock
  readonly log: Log
  readonly identifier: Identifier
  readonly audit: AuditSink
  readonly connectTo: readonly ConnectTo[]
  readonly upstreamTrust: UpstreamTrust
  /** Whether credentials may be used now (security rule 20): cheap, asked before every request. */
  readonly lease: () => boolean
  /** Cryptographically strong, such as `randomBytes`. */
  readonly random: (size: number) => Buffer
  readonly limits?: Partial<Limits>
  /** Addresses of host names; the system's resolver by default. */
  readonly resolve?: Resolve
  /** Told once of each problem that an operator can mend, and of its end. */
  readonly onCondition?: (condition: Condition) => void
}

export interface DataPlaneStats extends Readonly<Counters> {
  readonly connections: number
  readonly idleUpstreams: number
  /** Bytes that waited at the last look, and were let stay. */
  readonly backlog: number
}

/** The data plane of one worker. */
export interface DataPlane extends AsyncDisposable {
  /** Replaces the scope; `cut` connections had lost what they were granted and have been ended. */
  apply(scope: Scope): { cut: number }
  /** Replaces the CA that mints leaves; needed before the first TLS connection of a bound host. */
  setLeafAuthorities(authorities: readonly LeafAuthority[]): void
  /** What other workers find wrong: that it is well again here is then said at once. */
  doubt(problems: readonly Problem[]): void
  /**
   * Takes over a connection for good; never throws. `head` holds bytes already read from it. Sockets should come
   * from a server with `allowHalfOpen` and `pauseOnConnect`.
   */
  accept(socket: Socket, origin: ConnectionOrigin, head?: Buffer): void
  /** Addresses of a host, within the bounds of what connections of that user look up. */
  readonly lookUp: LookUp
  stats(): DataPlaneStats
}

const sweepMs = 1000

/**
 * Opens a data plane with an empty scope: until the first `apply` everything is spliced. Over its bounds on
 * connections a new one is reset. Disposal ends every connection at once.
 */
export function openDataPlane(options: DataPlaneOptions): DataPlane {
  const { clock, log, identifier, audit, lease, random, onCondition = () => {} } = options
  const limits: Limits = { ...defaultLimits, ...options.limits }
  const timeoutMs = limits.dialMs
  const lookUp = openLookUps({ clock, timeoutMs, resolve: options.resolve })
  const dialler = openDialler({ clock, connectTo: options.connectTo, lookUp, timeoutMs })
  const upstreams = openUpstreams({ clock, dialler, limits, trustFor: openTrustSets(options.upstreamTrust) })
  const leaves = openLeaves({ clock, random })
  const conditions = openConditions({ clock, log, onCondition })
  const counters: Counters = {
    requests: 0,
    injected: 0,
    refused: 0,
    cut: 0,
    intercepted: 0,
    spliced: 0,
    overflowed: 0,
  }
  const plane: Plane = {
    clock,
    log,
    limits,
    identifier,
    upstreams,
    counters,
    random,
    conditions,
    skews: openSkews({ clock, conditions }),
    ledger: openLedger({ clock, audit, conditions, random }),
    held: new Counts({ maxPerKey: limits.maxBufferedPerIdentity, maxTotal: limits.maxBufferedTotal }),
    streams: new Counts({ maxPerKey: limits.maxStreamsPerIdentity, maxTotal: limits.maxStreams }),
    policy: openPolicy(emptyScope),
    leaseHolds: lease,
  }
  const perUid = new Counts<number>({
    maxPerKey: limits.maxConnectionsPerUid,
    maxTotal: limits.maxConnections,
  })
  const intake = new Intake({
    plane,
    leaves,
    dialler,
    perIdentity: new Counts({ maxPerKey: limits.maxConnectionsPerIdentity }),
    partialHellos: new Counts({
      maxPerKey: limits.maxPartialHellosPerIdentity,
      maxTotal: limits.maxPartialHellos,
    }),
  })
  const connections = new Set<Connection>()
  const stop = new AbortController()
  let backlog = 0

  function sweep(): void {
    const now = clock.monotonic()
    const leased = lease()
    if (!leased) upstreams.retain(() => false)
    const backlogs = new Backlogs<SpiffeId | number>()
    for (const { served, spliced, socket, origin, deadline } of connections) {
      if (spliced) backlogs.add(origin.process.uid, spliced)
      for (const holder of served?.holders ?? []) {
        backlogs.add(served!.bearer.route.identity.spiffeId, holder)
      }
      if (!served && deadline <= now) socket.destroy()
      else if (served?.bearer.grant && !leased) served.cut('the offline lease has ended')
      else served?.sweep(now)
    }
    const { maxBacklogPerIdentity: maxPerOwner, maxBacklogTotal: maxTotal } = limits
    const { shed, kept } = backlogs.shed({ maxPerOwner, maxTotal })
    counters.overflowed += shed
    backlog = kept
    upstreams.sweep()
  }

  async function sweepUntilStopped(): Promise<void> {
    for (;;) {
      try {
        await clock.sleep(sweepMs, { signal: stop.signal, unref: true })
      } catch {
        return
      }
      sweep()
    }
  }
  void sweepUntilStopped()

  return {
    apply(scope) {
      const policy = openPolicy(scope)
      plane.policy = policy
      let cut = 0
      for (const { served } of connections) {
        const { route, grant } = served?.bearer ?? {}
        const reason = route && grant && revocation(route, grant, scope, policy)
        if (reason === undefined) continue
        served?.cut(reason)
        cut += 1
      }
      upstreams.retain(({ route, grant }) => revocation(route, grant, scope, policy) === undefined)
      return { cut }
    },
    setLeafAuthorities: (authorities) => leaves.setIssuers(authorities),
    doubt: (problems) => conditions.doubt(problems),
    accept(socket, origin, head) {
      // Broken sockets are noticed by their `close`; without a listener an error would end the process.
      socket.on('error', () => {})
      // Gone while it was found out whose it is: what is counted for it here would never be given back.
      if (socket.destroyed) return
      const { uid } = origin.process
      if (stop.signal.aborted || !perUid.enter(uid)) {
        counters.overflowed += 1
        reset(socket)
        return
      }
      socket.allowHalfOpen = true
      socket.setNoDelay(true)
      if (head && head.length > 0) socket.unshift(head)
      const connection: Connection = { socket, origin, deadline: clock.monotonic() + limits.clientIdleMs }
      connections.add(connection)
      const taken = intake.take(connection)
      // SECURITY: what is still under way for it, such as a dial, counts: who opens and leaves has no more than others.
      const forget = async () => {
        await taken
        connections.delete(connection)
        perUid.leave(uid)
      }
      socket.once('close', () => void forget())
    },
    lookUp,
    stats: () => ({ ...counters, connections: connections.size, idleUpstreams: upstreams.idle, backlog }),
    async [Symbol.asyncDispose]() {
      stop.abort()
      upstreams.retain(() => false)
      for (const { socket } of connections) socket.destroy()
    },
  }
}
