import process from 'node:process'
import { systemClock, type Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { returnFreedMemory, runTogether } from '#base/lifecycle'
import { openLog, type Log } from '#base/log'
import { netnsCookie } from '#base/syscall'
import type { ProcessAttestor } from '#daemon/attestation'
import { openSpoolReader } from '#daemon/audit-spool'
import { heartbeatIntervalMs } from '#daemon/capture'
import { hardenProcess } from '#daemon/processes'
import { canEnclose, type RunFacts } from '#daemon/run'
import { runShipping, runStream } from '#daemon/sync'
import { writeTrustBundle } from '#daemon/trust'
import { conditionsFor } from './conditions.ts'
import { claimSocket, openControl } from './control.ts'
import { controlRoutes, formatConnectTo, servicePorts } from './control-routes.ts'
import { hasIpv6Route, listenerDescriptor, openDoor, watchSockets } from './doors.ts'
import { layFoundation, type Foundation } from './foundation.ts'
import { stateCapture } from './level.ts'
import { runPaths } from './paths.ts'
import { openServing, type Serving } from './serving.ts'
import type { DaemonSettings } from './settings.ts'
import { version } from './version.ts'

/** What a daemon is once it serves. */
export interface DaemonFacts extends RunFacts {
  /** Name of its Daemon object. */
  readonly name: string
  readonly spiffeId: string
  readonly controlSocket: string
}

const refreshMs = 5_000
const watchMs = 500

/** What `GET /status` shows. */
function statusOf(
  { node }: Foundation,
  { keeper, lease, pool, capture, board }: Serving,
  facts: RunFacts,
  more: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { identities, services, bindings, credentials } = keeper.scope()
  return {
    version,
    pid: process.pid,
    name: node.daemonName,
    spiffeId: node.spiffeId,
    leaseSeconds: Math.floor(lease.remainingMs() / 1000),
    scope: {
      identities: identities.size,
      services: services.size,
      bindings: bindings.size,
      credentials: credentials.size,
    },
    workers: pool.health(),
    captureCounters: capture?.counters(),
    conditions: board.all(),
    ...facts,
    ...more,
  }
}

/**
 * The kernel refuses who is identified when these stop: when this loop hangs, when no worker serves, and before
 * the first scope, when nobody knows who is who.
 */
function beat({ capture, keeper, pool }: Serving): void {
  if (keeper.known() && pool.health().serving > 0) capture?.heartbeat()
}

async function runHeartbeats(serving: Serving, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    beat(serving)
    await clock.sleep(heartbeatIntervalMs, { signal }).catch(() => {})
  }
  serving.capture?.stopHeartbeat()
}

async function runRefreshes(
  serving: Serving,
  { announce, clock, signal }: { announce: () => void; clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(refreshMs, { signal }).catch(() => {})
    if (signal.aborted) break
    announce()
    await serving.keeper.refreshKernel()
    serving.reportScope()
  }
}

const released = 'capture was released by hand: start the daemon again'

function healthOf(
  { pool, capture }: Serving,
  watch: { readonly answers: boolean },
  lostSocket: string | undefined,
): string {
  if (capture?.isAttached() === false) return released
  if (lostSocket !== undefined) {
    return `its socket ${lostSocket} has been removed or replaced: start the daemon again`
  }
  if (!watch.answers)
    return 'the attestor does not answer: processes that it has not attested yet are refused'
  const { serving, configured } = pool.health()
  return serving === configured ? 'ok' : `${serving} of ${configured} workers serve`
}

/** Looks again and again whether the attestor answers, and says when that changes. */
async function runWatch(
  watch: { answers: boolean },
  {
    attestor,
    clock,
    log,
    signal,
  }: { attestor: ProcessAttestor; clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const answers = await attestor.startOf(process.pid).then(
      () => true,
      () => false,
    )
    if (signal.aborted) break
    if (answers !== watch.answers)
      log[answers ? 'info' : 'error'](answers ? 'attestor.answers' : 'attestor.silent')
    watch.answers = answers
    await clock.sleep(watchMs, { signal }).catch(() => {})
  }
}

/**
 * Runs the daemon until abort; `onReady` is told once it serves, which may be before a scope has come.
 * @throws Fault SETTING_INVALID, CAPTURE_UNAVAILABLE, CAPTURE_BUSY, JOIN_REFUSED, SERVER_UNREACHABLE,
 *   CERTIFICATE_INVALID when it cannot start; INTERNAL when a part of it has ended
 */
export async function runDaemon(
  settings: DaemonSettings,
  { signal: outside, onReady = () => {} }: { signal: AbortSignal; onReady?: (facts: DaemonFacts) => void },
): Promise<void> {
  hardenProcess()
  const clock = systemClock
  const random = Math.random
  const log = openLog({ program: 'tideway-daemon', level: settings.logLevel })
  await using stack = new AsyncDisposableStack()
  const fatal = new AbortController()
  const onAttestorExit = () => fatal.abort(new Fault('INTERNAL', 'the attestor has ended'))
  const foundation = await layFoundation(settings, { stack, clock, log, onAttestorExit })
  const { runDir, attestor, node } = foundation
  const paths = runPaths(runDir)
  const everyone = foundation.onlyUid === undefined

  const enclosing = canEnclose()
  const { withoutCapture: without } = foundation
  const statement = stateCapture({ capture: foundation.capture, without, enclosing })
  const withoutKernel = stateCapture({ capture: undefined, without: released, enclosing })
  log.info('capture.level', { ...statement })
  const connectTo = formatConnectTo(settings.connectTo)
  if (connectTo) log.warn('dev.connect-to', { connectTo })
  await writeTrustBundle(paths.bundle, node.interceptRoot, foundation.upstreamCaPem)

  const serving = await openServing(settings, foundation, { stack, clock, log, random })
  const { board, lease, judge, pool, intermediates, keeper, capture, capturePort } = serving
  await pool.untilServing()

  const proxy = stack.use(await openDoor(pool, 'proxy', settings.proxyListen))
  await claimSocket(paths.connect)
  stack.use(await openDoor(pool, 'relay', { path: paths.connect, everyone }))
  const facts = (): RunFacts => ({
    ...(capture?.isAttached() === false ? withoutKernel : statement),
    connectSocket: paths.connect,
    proxy: { host: settings.proxyListen.host, port: proxy.port },
    trustBundle: paths.bundle,
    interceptRootPem: node.interceptRoot.toString(),
    ...(foundation.capture?.cgroup !== undefined && { captureCgroup: foundation.capture.cgroup }),
    ports: servicePorts(keeper.scope()),
    overriddenHosts: [...new Set(settings.connectTo.map(({ host }) => host))],
  })
  let connected = false
  const watch = { answers: true }
  const status = () => statusOf(foundation, serving, facts(), { connected, connectTo })
  const routes = controlRoutes({
    judge,
    attestor,
    status,
    isReady: keeper.known,
    facts,
    conditionsFor: (identity) => conditionsFor(identity, keeper.scope(), board.all()),
    trustListeners: serving.trustListeners,
    lookUp: (host, uid) => pool.lookUp(host, uid),
  })
  const control = stack.use(await openControl({ path: paths.control, everyone, routes, log }))
  const lostSocket = watchSockets([paths.control, paths.connect])
  // Routes come and go while the daemon runs: at boot, for one, it may be there before that of IPv6.
  const announce = () =>
    capture?.registerListener({
      netnsCookie: netnsCookie(listenerDescriptor(control.server)),
      port: capturePort,
      ipv6Usable: pool.health().ipv6 && hasIpv6Route(),
    })
  announce()
  log.info('daemon.serving', { name: node.daemonName, spiffeId: node.spiffeId, runDir })
  onReady({ ...facts(), name: node.daemonName, spiffeId: node.spiffeId, controlSocket: paths.control })

  const introduction = {
    version,
    captureLevel: statement.level,
    captureDetail: statement.detail,
    metadata: {
      'node:hostname': settings.hostname,
      ...(connectTo && { 'dev:connect-to': connectTo }),
      ...(settings.upstreamCa !== undefined && { 'dev:upstream-ca': settings.upstreamCa }),
    },
  }
  const writerCount = settings.workers
  const reader = openSpoolReader({
    folder: serving.auditFolder,
    isWriting: (writer) => Number(/^worker-(\d+)$/.exec(writer)?.[1] ?? Infinity) < writerCount,
    log,
  })
  const common = { node, clock, log, random }
  await runTogether(AbortSignal.any([outside, fatal.signal]), [
    (options) => node.run(options),
    (options) => intermediates.run(options),
    (options) => lease.run({ ...options, onEnd: () => void keeper.withdrawCredentials() }),
    (options) =>
      runStream({
        ...common,
        ...options,
        lease,
        introduction,
        onUpdate: async (update) => {
          await keeper.apply(update)
          beat(serving) // what is acknowledged is in effect in the kernel too
          return { ready: intermediates.untilFit() }
        },
        onRefused: () => void keeper.withdrawAll(),
        onConnected: (now) => {
          connected = now
          log.info(now ? 'sync.connected' : 'sync.disconnected')
        },
        report: () => ({
          daemonHealth: healthOf(serving, watch, lostSocket()),
          captureHealth: capture ? (capture.isAttached() ? 'ok' : released) : 'no kernel capture',
          conditions: board.all(),
        }),
      }),
    (options) => runShipping({ ...common, ...options, reader }),
    ({ signal }) => runHeartbeats(serving, clock, signal),
    (options) => serving.expiries.run(keeper.scope, options),
    ({ signal }) => runWatch(watch, { attestor, clock, log, signal }),
    ({ signal }) => runRefreshes(serving, { announce, clock, signal }),
    ({ signal }) => returnFreedMemory(clock, { signal }),
  ])
  if (fatal.signal.aborted) throw fatal.signal.reason
}
