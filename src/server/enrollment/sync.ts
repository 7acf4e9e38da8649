import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { captureLevels, type CaptureLevel } from '#model/scope'
import { encodeScopeUpdate } from '#model/scope-codec'
import type { Daemon } from '#model/resource'
import type { ReportedCondition, Scopes } from '#server/reconcile'
import type { Resources } from '#server/store'
import type { Condition, Hello, NodeReport, ScopeMessageSchema } from '#wire/proto'
import { openDaemonStatus } from './daemon-status.ts'
import type { Peer } from './daemons.ts'
import type { Streams } from './streams.ts'

type ScopeMessage = MessageInitShape<typeof ScopeMessageSchema>

const leaseIntervalMs = 3_000
const helloTimeoutMs = 10_000
/** Daemons report every five seconds. */
const silenceMs = 16_000
const maxConditions = 1_000
const maxTextLength = 1_024

export interface SyncContext {
  readonly scopes: Scopes
  readonly resources: Resources
  readonly streams: Streams
  readonly clock: Clock
  readonly log: Log
  readonly leaseSeconds: number
  /** Whether a daemon is known to be connected to another server on the same store. */
  readonly isElsewhere?: (daemonName: string) => boolean
}

/** `promise`, or a fault when it takes longer than `ms`; rejects with the reason of `signal`. */
async function within<T>(promise: Promise<T>, clock: Clock, ms: number, signal: AbortSignal): Promise<T> {
  const settled = new AbortController()
  const late = clock.sleep(ms, { signal: AbortSignal.any([signal, settled.signal]) }).then(() => {
    throw new Fault('DAEMON_UNREACHABLE', `nothing heard for ${ms} ms`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    settled.abort()
  }
}

function parseCaptureLevel(text: string): CaptureLevel {
  const level = captureLevels.find((known) => known === text)
  if (!level) throw new Fault('WIRE_MALFORMED', `unknown capture level ${JSON.stringify(text.slice(0, 40))}`)
  return level
}

function parseConditions(conditions: readonly Condition[]): ReportedCondition[] {
  return conditions.slice(0, maxConditions).map(({ subject, type, status, reason, message }) => {
    if (status !== 'True' && status !== 'False' && status !== 'Unknown') {
      throw new Fault('WIRE_MALFORMED', `unknown condition status ${JSON.stringify(status.slice(0, 40))}`)
    }
    const text = (value: string) => value.slice(0, maxTextLength)
    return { subject: text(subject), type: text(type), status, reason: text(reason), message: text(message) }
  })
}

async function expectHello(
  reports: AsyncIterator<NodeReport>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Hello> {
  const first = await within(reports.next(), clock, helloTimeoutMs, signal)
  if (first.done || first.value.body.case !== 'hello') {
    throw new Fault('WIRE_MALFORMED', 'a stream begins with its introduction')
  }
  return first.value.body.value
}

/**
 * One daemon's stream, from its introduction until it ends, falls silent, is replaced or cut (`stream`), or its
 * SVID expires unrenewed. The caller has registered `stream` and verified the daemon; why it ended is the reason of
 * `stream`.
 */
export async function* syncDaemon(
  { scopes, resources, streams, clock, log, leaseSeconds, isElsewhere }: SyncContext,
  { daemon, peer, stream }: { daemon: Daemon; peer: Peer; stream: AbortController },
  incoming: AsyncIterable<NodeReport>,
  callSignal: AbortSignal,
): AsyncGenerator<ScopeMessage> {
  const { name } = daemon.metadata
  const signal = AbortSignal.any([callSignal, stream.signal])
  const reports = incoming[Symbol.asyncIterator]()
  const hello = await expectHello(reports, clock, signal)
  const captureLevel = parseCaptureLevel(hello.captureLevel)
  const status = openDaemonStatus({ resources, clock, log, name })

  function take({ body }: NodeReport): void {
    if (body.case === 'acknowledge') {
      const { revision, error } = body.value
      scopes.acknowledge(name, Number(revision), error ? error.slice(0, maxTextLength) : undefined)
    } else if (body.case === 'health') {
      status.observe(body.value)
      scopes.observe(name, parseConditions(body.value.conditions))
    } else {
      throw new Fault('WIRE_MALFORMED', `unexpected report ${body.case ?? 'of an unknown kind'}`)
    }
  }

  async function takeReports(): Promise<void> {
    try {
      for (;;) {
        const report = await within(reports.next(), clock, silenceMs, signal)
        if (report.done) return stream.abort(new Fault('DAEMON_UNREACHABLE', 'the daemon ended its reports'))
        take(report.value)
      }
    } catch (error) {
      stream.abort(error)
    } finally {
      // Done here and not where updates are sent: a hung peer may keep a send waiting for long.
      if (streams.isCurrent(name, stream) && !isElsewhere?.(name)) await status.disconnected()
      streams.end(name, stream)
      log.info('daemon.disconnected', { daemon: name, reason: (signal.reason as Error).message })
    }
  }

  status.connected(hello, captureLevel)
  log.info('daemon.connected', {
    daemon: name,
    spiffeId: peer.spiffeId,
    captureLevel,
    version: hello.version,
  })
  const reading = takeReports()
  const following = {
    name,
    workloadId: peer.workloadId,
    groups: daemon.spec.daemonGroups ?? [],
    captureLevel,
  }
  const lease: ScopeMessage = { body: { case: 'lease', value: { offlineLeaseSeconds: leaseSeconds } } }
  const updates = scopes.follow(following, { signal })[Symbol.asyncIterator]()
  try {
    yield lease
    let update = updates.next()
    let tick = clock.sleep(leaseIntervalMs, { signal })
    for (;;) {
      const next = await Promise.race([update, tick])
      if (next) {
        if (next.done) return signal.throwIfAborted()
        yield { body: { case: 'update', value: encodeScopeUpdate(next.value) } }
        update = updates.next()
      } else {
        if (clock.now() >= streams.expiresAt(name))
          throw new Fault('CERTIFICATE_INVALID', 'the SVID has expired')
        yield lease
        tick = clock.sleep(leaseIntervalMs, { signal })
      }
    }
  } catch (error) {
    stream.abort(error)
    throw error
  } finally {
    stream.abort(new Fault('DAEMON_UNREACHABLE', 'the stream has ended'))
    await reading
  }
}
