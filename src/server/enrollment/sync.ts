import type { MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { captureLevels, type CaptureLevel } from '#model/scope'
import { encodeScopeUpdate } from '#model/scope-codec'
import { isAsJudged, type Daemon } from '#model/resource'
import type { ReportedCondition, Scopes } from '#server/reconcile'
import type { Resources } from '#server/store'
import type { Condition, Hello, NodeReport, ScopeMessageSchema } from '#wire/proto'
import { openDaemonStatus } from './daemon-status.ts'
import type { Peer } from './daemons.ts'
import { openPulse, paceFor, type Ping } from './pulse.ts'
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

/** Aborts `stream` when the time that `left` tells has run out. Ends with `signal`. */
async function watchSilence(
  left: () => number,
  { clock, stream, signal }: { clock: Clock; stream: AbortController; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const ms = left()
    if (ms <= 0) return stream.abort(new Fault('DAEMON_UNREACHABLE', 'nothing heard for too long'))
    await clock.sleep(ms, { signal }).catch(() => {})
  }
}

/**
 * Reads `items` for as long as `signal` lasts: then it rejects with its reason, whatever the peer does. One listener
 * for all: a race with something that lives as long as the stream would keep every loser in memory.
 */
function readerOf<T>(items: AsyncIterator<T>, signal: AbortSignal): () => Promise<IteratorResult<T>> {
  let giveUp: (reason: unknown) => void = () => {}
  signal.addEventListener('abort', () => giveUp(signal.reason), { once: true })
  return () =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      giveUp = reject
      items.next().then(resolve, reject)
    })
}

/**
 * What `items` gives, and undefined `afterMs` after the last and when the clock jumps, until they end. Items set no
 * timer: many may come.
 */
async function* withTicks<T>(
  items: AsyncIterator<T>,
  { afterMs, clock }: { afterMs: () => number; clock: Clock },
): AsyncGenerator<T | undefined> {
  let settled: (() => IteratorResult<T>) | undefined
  let isDue = false
  let wake = () => {}
  const settle = (how: () => IteratorResult<T>) => {
    settled = how
    wake()
  }
  const pull = () => {
    settled = undefined
    items.next().then(
      (item) => settle(() => item),
      (error: unknown) =>
        settle(() => {
          throw error
        }),
    )
  }
  const arm = () => {
    isDue = false
    const tick = () => {
      isDue = true
      wake()
    }
    return clock.after(afterMs(), tick, { unref: true })
  }
  let cancel = arm()
  const stopListening = clock.onJump(() => {
    isDue = true
    wake()
  })
  try {
    for (pull(); ;) {
      if (isDue) {
        cancel()
        cancel = arm()
        yield undefined
      }
      const item = settled?.()
      if (item?.done) return
      if (item) {
        pull()
        yield item.value
      } else if (!isDue) await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    cancel()
    stopListening()
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

async function expectHello(read: () => Promise<IteratorResult<NodeReport>>): Promise<Hello> {
  const first = await read()
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
  { daemon, peer, ping, stream }: { daemon: Daemon; peer: Peer; ping: Ping; stream: AbortController },
  incoming: AsyncIterable<NodeReport>,
  callSignal: AbortSignal,
): AsyncGenerator<ScopeMessage> {
  const { name } = daemon.metadata
  const { signal } = stream
  const daemons = () => streams.count()
  const status = openDaemonStatus({ resources, clock, log, name, daemons, signal })
  // SECURITY: its places are what they were when it began. Told whenever the object is looked at, also after a time in
  // which nobody watched: one that has other groups by now, or was deleted and has joined again, is not this one.
  streams.follow(name, stream, (now) => {
    if (isAsJudged(now, daemon)) status.changed(now)
    else stream.abort(new ConnectError('the daemon was changed', Code.Aborted))
  })
  const hangUp = () => stream.abort(callSignal.reason)
  callSignal.addEventListener('abort', hangUp, { once: true })
  if (callSignal.aborted) hangUp()
  let silentAt = clock.monotonic() + helloTimeoutMs
  void watchSilence(() => silentAt - clock.monotonic(), { clock, stream, signal })
  const read = readerOf(incoming[Symbol.asyncIterator](), signal)
  const hello = await expectHello(read)
  const captureLevel = parseCaptureLevel(hello.captureLevel)
  const pulse = openPulse({
    ping,
    daemons,
    onSilent() {
      log.warn('daemon.silent', { daemon: name })
      status.silent({ heardAt: pulse.heardAt(), forMs: paceFor(daemons()).silentAfterMs })
    },
    onHeard: () => status.heard(),
    clock,
    signal,
  })

  function take({ body }: NodeReport): void {
    if (body.case === 'acknowledge') {
      const { revision, error, leftOut } = body.value
      if (error) scopes.acknowledge(name, Number(revision), error.slice(0, maxTextLength), leftOut)
      else scopes.acknowledge(name, Number(revision))
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
        silentAt = clock.monotonic() + silenceMs
        const report = await read()
        if (report.done) return stream.abort(new Fault('DAEMON_UNREACHABLE', 'the daemon ended its reports'))
        pulse.heard()
        take(report.value)
      }
    } catch (error) {
      stream.abort(error)
    } finally {
      // Done here and not where updates are sent: a hung peer may keep a send waiting for long.
      const isLost = streams.isCurrent(name, stream) && !streams.isStopping() && !isElsewhere?.(name)
      if (isLost) await status.disconnected(pulse.heardAt())
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
    // Not later than the SVID expires: a daemon that could not renew it is not there any more.
    const afterMs = () => Math.max(0, Math.min(leaseIntervalMs, streams.expiresAt(name) - clock.now()))
    for await (const update of withTicks(updates, { afterMs, clock })) {
      if (!update && clock.now() >= streams.expiresAt(name))
        throw new Fault('CERTIFICATE_INVALID', 'the SVID has expired')
      yield update ? { body: { case: 'update', value: encodeScopeUpdate(update) } } : lease
    }
    signal.throwIfAborted()
  } catch (error) {
    stream.abort(error)
    throw error
  } finally {
    stream.abort(new Fault('DAEMON_UNREACHABLE', 'the stream has ended'))
    await reading
  }
}
