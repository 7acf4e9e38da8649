import type { ChildProcess } from 'node:child_process'
import type { KeyObject, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { backoffMs, type Clock } from '#base/clock'
import { Fault, toFault } from '#base/errors'
import type { Log } from '#base/log'
import { openPeer, startChild, type Answers, type Peer } from '#daemon/processes'
import { lookUpThreads, type DataPlaneStats, type Problem } from '#daemon/outbound'
import type { Scope, ScopeUpdate } from '#model/scope'
import { toScopeMessage } from './scope-message.ts'
import {
  applyLimitMs,
  silenceLimitMs,
  workerHeartbeatMs,
  type Handover,
  type LeafAuthorityMessage,
  type MainProtocol,
  type WorkerConfiguration,
  type WorkerProtocol,
} from './worker-protocol.ts'

export interface LeafAuthorityMaterial {
  readonly key: KeyObject
  readonly chain: readonly X509Certificate[]
  readonly hosts: readonly string[]
}

export interface WorkerPool extends AsyncDisposable {
  /**
   * Puts a change of the scope into effect; resolves when every worker has, or has been killed for its silence,
   * and, if the change grants anything, when at least one serves. `scope` is the whole after the change: what a
   * worker that starts later gets.
   */
  apply(update: ScopeUpdate, scope: Scope, generation: number): Promise<void>
  /** Resolves when every worker has them. */
  setAuthorities(authorities: readonly LeafAuthorityMaterial[]): Promise<void>
  /** Gives an accepted connection to one of the workers; destroys it when none serves. */
  handOver(kind: Handover['handover'], socket: Socket): void
  /** Addresses of a host, by one of the workers and as it does for connections of that user. @throws Fault */
  lookUp(host: string, uid: number): Promise<readonly string[]>
  health(): { serving: number; configured: number; stats: readonly DataPlaneStats[]; ipv6: boolean }
  /** Resolves when at least one worker serves, or the pool is at its end. */
  untilServing(): Promise<void>
}

interface Slot {
  readonly name: string
  child: ChildProcess | undefined
  peer: Peer<WorkerProtocol> | undefined
  /** Has the whole scope and gets changes. */
  ready: boolean
  /** Connections reach it. */
  serves: boolean
  stats: DataPlaneStats | undefined
  /** Monotonic time of its last sign of life. */
  heard: number
}

/** Whether an update does no more than renew credentials: nobody keeps anything by being slow with that. */
function isRenewal({ reset, upsert, remove }: ScopeUpdate): boolean {
  const rest = [upsert.identities, upsert.services, upsert.bindings, ...Object.values(remove)]
  return !reset && rest.every(({ length }) => length === 0)
}

const restart = { baseMs: 100, maxMs: 10_000 }
/** Generous: to start again a worker that is only slow makes a busy machine busier. */
const startLimitMs = 60_000

export function openWorkerPool({
  count,
  module,
  relocate,
  configure,
  answersFor,
  onEnded,
  leaseMs,
  problems,
  clock,
  log,
  random,
}: {
  count: number
  /** The worker's program. */
  module: URL
  relocate: (path: string) => string
  configure: (name: string) => WorkerConfiguration
  answersFor: (name: string) => Answers<MainProtocol>
  /** Told when a worker has ended, before the next takes its name. */
  onEnded: (name: string) => void
  /** For how long credentials may be used from now. */
  leaseMs: () => number
  /** What any worker finds wrong. */
  problems: () => readonly Problem[]
  clock: Clock
  log: Log
  random: () => number
}): WorkerPool {
  const slots: Slot[] = Array.from({ length: count }, (_, index) => ({
    name: `worker-${index}`,
    child: undefined,
    peer: undefined,
    ready: false,
    serves: false,
    stats: undefined,
    heard: 0,
  }))
  const stop = new AbortController()
  let current: { scope: Scope; generation: number } | undefined
  let authorities: readonly LeafAuthorityMessage[] = []
  let ipv6 = false
  let next = 0
  const waiting = new Set<() => void>()
  const tellWaiting = () => {
    for (const resolve of waiting) resolve()
    waiting.clear()
  }
  const untilServing = () =>
    new Promise<void>((resolve) => {
      if (stop.signal.aborted || slots.some(({ serves }) => serves)) resolve()
      else waiting.add(resolve)
    })

  const kill = (slot: Slot, why: string) => {
    log.warn('worker.killed', { worker: slot.name, why })
    slot.ready = slot.serves = false
    slot.child?.kill('SIGKILL')
  }
  const snapshot = ({ scope, generation }: NonNullable<typeof current>) => {
    const all = <T>(items: ReadonlyMap<string, T>) => [...items.values()]
    const upsert = {
      identities: all(scope.identities),
      services: all(scope.services),
      bindings: all(scope.bindings),
      credentials: all(scope.credentials),
    }
    const none = { identities: [], services: [], bindings: [], credentials: [] }
    const update = toScopeMessage({ revision: 0, reset: true, upsert, remove: none })
    return { update, generation, leaseMs: leaseMs() }
  }
  /** Brings a fresh worker up to the present, which may move on meanwhile. */
  const prepare = async (slot: Slot, peer: Peer<WorkerProtocol>) => {
    await peer.call('configure', configure(slot.name))
    for (;;) {
      const given = { current, authorities }
      if (authorities.length > 0) await peer.call('setAuthorities', authorities)
      if (current) await peer.call('apply', snapshot(current))
      await beat(slot, peer)
      if (given.current === current && given.authorities === authorities) break
    }
    slot.ready = true
    // SECURITY: from here on no change is acknowledged without it, so only now may anybody reach it (rule 20). And
    // the kernel leads nobody to it who could be served by another.
    ipv6 = (await peer.call('listen', {})).ipv6
    slot.serves = true
    tellWaiting()
  }
  const beat = async (slot: Slot, peer: Peer<WorkerProtocol>) => {
    slot.stats = await peer.call(
      'heartbeat',
      { leaseMs: leaseMs(), problems: problems() },
      { timeoutMs: silenceLimitMs },
    )
    slot.heard = clock.monotonic()
  }
  const runOnce = async (slot: Slot): Promise<void> => {
    const child = startChild(module, { relocate, threads: lookUpThreads })
    slot.child = child
    slot.heard = clock.monotonic()
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    const peer = openPeer<WorkerProtocol, MainProtocol>({
      endpoint: child,
      answers: answersFor(slot.name),
      clock,
      timeoutMs: startLimitMs,
    })
    slot.peer = peer
    prepare(slot, peer).catch((error: unknown) => kill(slot, toFault(error).message))
    await ended
    slot.ready = slot.serves = false
    slot.peer = undefined
    onEnded(slot.name)
    if (!stop.signal.aborted)
      log.error('worker.ended', { worker: slot.name, code: child.exitCode, signal: child.signalCode })
  }
  const supervise = async (slot: Slot): Promise<void> => {
    let failures = 0
    while (!stop.signal.aborted) {
      const startedAt = clock.monotonic()
      await runOnce(slot)
      failures = clock.monotonic() - startedAt > restart.maxMs ? 0 : failures + 1
      if (stop.signal.aborted) break
      await clock
        .sleep(backoffMs(failures - 1, { ...restart, random }), { signal: stop.signal })
        .catch(() => {})
    }
  }
  const beatAll = async (): Promise<void> => {
    let due = clock.monotonic()
    while (!stop.signal.aborted) {
      // What a process could not hear because it was stopped or starved itself is nobody's silence.
      const now = clock.monotonic()
      const lateMs = now - due
      for (const slot of slots) {
        slot.heard = Math.min(now, slot.heard + lateMs)
        if (!slot.ready || !slot.peer) continue
        if (now - slot.heard > silenceLimitMs) kill(slot, 'it does not answer')
        else beat(slot, slot.peer).catch(() => {}) // silence shows in `heard`
      }
      due = clock.monotonic() + workerHeartbeatMs
      await clock.sleep(workerHeartbeatMs, { signal: stop.signal }).catch(() => {})
    }
  }
  /** Those that are not ready get the whole when they are. Who does not obey is killed. */
  const tellReady = async (tell: (peer: Peer<WorkerProtocol>) => Promise<unknown>): Promise<void> => {
    await Promise.all(
      slots.map(async (slot) => {
        if (!slot.ready || !slot.peer) return
        try {
          await tell(slot.peer)
        } catch (error) {
          kill(slot, toFault(error).message)
        }
      }),
    )
  }
  const running = Promise.all([...slots.map(supervise), beatAll()])

  return {
    async apply(update, scope, generation) {
      current = { scope, generation }
      const message = { update: toScopeMessage(update), generation, leaseMs: leaseMs() }
      const timeoutMs = isRenewal(update) ? silenceLimitMs : applyLimitMs
      await tellReady((peer) => peer.call('apply', message, { timeoutMs }))
      // What is withdrawn is withdrawn when nobody serves; what is granted is not in effect before somebody does.
      const grants = Object.values(update.upsert).some((items) => items.length > 0)
      if (grants) await untilServing()
    },
    async setAuthorities(all) {
      const given = all.map(({ key, chain, hosts }) => ({
        keyDer: key.export({ type: 'pkcs8', format: 'der' }),
        chainDer: chain.map(({ raw }) => raw),
        hosts,
      }))
      authorities = given
      await tellReady((peer) => peer.call('setAuthorities', given, { timeoutMs: silenceLimitMs }))
    },
    handOver(handover, socket) {
      const ready = slots.filter((slot) => slot.ready)
      const { child } = ready[next++ % Math.max(1, ready.length)] ?? {}
      if (child?.connected)
        child.send({ handover } satisfies Handover, socket, {}, (error) => error && socket.destroy())
      else socket.destroy()
    },
    async lookUp(host, uid) {
      const serving = slots.filter(({ serves }) => serves)
      const { peer } = serving[next++ % Math.max(1, serving.length)] ?? {}
      if (!peer) throw new Fault('DAEMON_UNREACHABLE', 'no worker serves')
      return await peer.call('lookUp', { host, uid })
    },
    health() {
      const ready = slots.filter(
        (slot) => slot.serves && clock.monotonic() - slot.heard < 2 * workerHeartbeatMs + applyLimitMs,
      )
      return {
        serving: ready.length,
        configured: slots.length,
        stats: ready.flatMap(({ stats }) => stats ?? []),
        ipv6,
      }
    },
    untilServing,
    async [Symbol.asyncDispose]() {
      stop.abort()
      tellWaiting()
      for (const { child } of slots) child?.kill('SIGKILL') // connections end with the daemon in any case
      await running
    },
  }
}
