import { isDeepStrictEqual } from 'node:util'
import { ConnectError } from '@connectrpc/connect'
import { backoffMs, jittered, type Clock } from '#base/clock'
import { Fault, toFault } from '#base/errors'
import type { Log } from '#base/log'
import type { CaptureLevel, ScopeUpdate } from '#model/scope'
import { decodeScopeUpdate } from '#model/scope-codec'
import { callFault } from './enrollment.ts'
import { openLeftOut, type Problem } from './left-out.ts'
import type { Lease } from './lease.ts'
import type { Node, NodeConnection } from './node.ts'
import { openOutbox, type Outbox } from './outbox.ts'

/** A condition about a resource in this daemon's scope, for its status. */
export interface ReportedCondition {
  readonly subject: string
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

export interface DaemonReport {
  /** `ok`, or what is wrong. */
  readonly daemonHealth: string
  readonly captureHealth: string
  readonly conditions: readonly ReportedCondition[]
}

export interface StreamOptions {
  readonly node: Node
  readonly lease: Lease
  readonly introduction: {
    readonly version: string
    readonly captureLevel: CaptureLevel
    readonly captureDetail: string
    readonly metadata: Readonly<Record<string, string>>
  }
  /**
   * Resolves when the update is in effect in every worker; what it throws is reported to the server. `ready`
   * resolves when what it newly grants can be used too: only then is it acknowledged, and nothing waits for it.
   */
  readonly onUpdate: (update: ScopeUpdate) => Promise<{ readonly ready: Promise<void> }>
  /** The server refuses this node: its Daemon object has been deleted. */
  readonly onRefused: () => void
  readonly report: () => DaemonReport
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
}

const reportIntervalMs = 5_000
/** What is new is said within this time, and so at most this often, however much comes up meanwhile. */
const newsIntervalMs = 250
/**
 * The server renews the lease every three seconds: after this long it hangs, or what leads to it. Where there is
 * another one that is found out sooner; where there is not, coming back would cost the server what it is short of.
 */
const silenceLimitMs = { alone: 12_000, withAlternative: 7_000 }
const leaseIntervalMs = 3_000
/** A server that restarts loses all its daemons at once: they come back spread over this time. */
const spreadMs = 1_000
const retry = { baseMs: 200, maxMs: 15_000 }

async function reportHealth(
  outbox: Outbox,
  { report, clock }: StreamOptions,
  signal: AbortSignal,
): Promise<void> {
  let said: DaemonReport | undefined
  for (let dueAt = clock.monotonic(); !signal.aborted;) {
    const now = report()
    if (clock.monotonic() >= dueAt || !isDeepStrictEqual(now, said)) {
      const { daemonHealth, captureHealth, conditions } = now
      outbox.put({
        case: 'health',
        value: { daemonHealth, captureHealth, conditions: conditions.map((c) => ({ ...c })) },
      })
      said = now
      dueAt = clock.monotonic() + reportIntervalMs
    }
    await clock.sleep(newsIntervalMs, { signal }).catch(() => {})
  }
}

/** Aborts `silent` when nothing was heard for too long. */
async function watchSilence(
  heardAt: () => number,
  {
    node,
    clock,
    running,
    silent,
  }: { node: Node; clock: Clock; running: AbortSignal; silent: AbortController },
): Promise<void> {
  while (!running.aborted) {
    const limitMs = node.hasAlternative() ? silenceLimitMs.withAlternative : silenceLimitMs.alone
    const leftMs = heardAt() + limitMs - clock.monotonic()
    if (leftMs <= 0) {
      const message = `the server has said nothing for ${limitMs / 1000} s`
      return silent.abort(new Fault('SERVER_UNREACHABLE', message))
    }
    // Whether there is an alternative shows when the connection is made.
    await clock.sleep(Math.min(leftMs, leaseIntervalMs), { signal: running }).catch(() => {})
  }
}

/** One stream from its introduction to its end. @throws ConnectError, Fault SERVER_UNREACHABLE */
async function follow(
  connection: NodeConnection,
  options: StreamOptions,
  signal: AbortSignal,
  onHeard: () => void,
): Promise<void> {
  const { node, introduction, lease, onUpdate, clock, log } = options
  const ended = new AbortController()
  const running = AbortSignal.any([signal, ended.signal])
  const outbox = openOutbox(running)
  outbox.put({ case: 'hello', value: { ...introduction } })
  const leaseEnds = lease.ends()
  let leaseSeconds: number | undefined
  let hasScope = false
  const leftOut = openLeftOut()
  let acknowledged = -1n
  const acknowledge = (revision: bigint, problem?: Problem) => {
    if (revision <= acknowledged) return // one acknowledgement stands for all before it
    acknowledged = revision
    outbox.put({ case: 'acknowledge', value: { revision, ...problem } })
  }
  let heardAt = clock.monotonic()
  const silent = new AbortController()
  const call = { signal: AbortSignal.any([signal, silent.signal]), timeoutMs: 0 }
  const reporting = reportHealth(outbox, options, running)
  const watching = watchSilence(() => heardAt, { node, clock, running, silent })
  try {
    for await (const { body } of connection.client.sync(outbox.reports(), call)) {
      heardAt = clock.monotonic()
      onHeard()
      // Credentials were withdrawn when the lease ended: only a new stream brings the whole scope again.
      if (lease.ends() !== leaseEnds) throw new Fault('SERVER_UNREACHABLE', 'the offline lease had ended')
      if (body.case === 'lease') leaseSeconds = body.value.offlineLeaseSeconds
      if (body.case === 'update') hasScope = true
      // SECURITY: who was not told the scope does not know what was revoked, however often the server is heard.
      if (hasScope && leaseSeconds !== undefined) lease.extend(leaseSeconds)
      if (body.case !== 'update') continue
      const { revision } = body.value
      try {
        const { update, unread } = decodeScopeUpdate(body.value)
        const problem = leftOut.after(update, unread)
        if (unread.length > 0)
          log.error('scope.left-out', { revision: Number(revision), error: problem?.error })
        const { ready } = await onUpdate(update)
        void ready.then(() => acknowledge(revision, problem))
      } catch (error) {
        const { message } = toFault(error)
        log.error('scope.not-applied', { revision: Number(revision), error: message })
        acknowledge(revision, { error: message })
      }
    }
  } catch (error) {
    if (!silent.signal.aborted) throw error
    connection.abandon() // all calls on it hang, and the next would too
    throw silent.signal.reason
  } finally {
    ended.abort()
    await Promise.all([reporting, watching])
  }
}

/** Keeps a stream to the server open until abort: reconnects with back-off, each time from a whole new scope. */
export async function runStream(
  options: StreamOptions & {
    readonly signal: AbortSignal
    readonly onConnected: (connected: boolean) => void
  },
): Promise<void> {
  const { node, lease, onRefused, onConnected, clock, log, random, signal } = options
  let failures = 0
  while (!signal.aborted) {
    let connection: NodeConnection | undefined
    let heard = false
    try {
      await node.ensureSvid()
      connection = node.connection()
      await follow(connection, options, signal, () => {
        if (!heard) onConnected(true)
        heard = true
      })
      log.info('sync.ended')
    } catch (error) {
      if (signal.aborted) break
      const fault = error instanceof ConnectError ? callFault(error, 'following the server') : toFault(error)
      log.warn('sync.failed', { error: fault.message, ...(fault.hint && { hint: fault.hint }) })
      if (fault.code === 'NODE_REFUSED' || fault.code === 'JOIN_REFUSED') {
        lease.end()
        onRefused()
      }
    } finally {
      // Under an SVID that was renewed meanwhile nobody else uses it any more.
      if (signal.aborted || connection !== node.connection()) connection?.close()
    }
    if (heard) onConnected(false)
    failures = heard ? 0 : failures + 1
    const pause = heard ? jittered(spreadMs, 1, random) : backoffMs(failures, { ...retry, random })
    await clock.sleep(pause, { signal }).catch(() => {})
  }
}
