import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { pacedLog, type Log } from '#base/log'
import { openTurns } from '#daemon/attestation'
import { openCapture, type Capture } from '#daemon/capture'
import {
  boundHosts,
  openIntermediateKeeper,
  openLease,
  type IntermediateKeeper,
  type Lease,
} from '#daemon/sync'
import { openLeaves } from '#daemon/intercept'
import { Counts } from '#daemon/outbound'
import { openTrustListeners, readSystemRoots, type TrustListeners } from '#daemon/trust'
import { openConditionBoard, type ConditionBoard } from './conditions.ts'
import { findCapturePort } from './doors.ts'
import { openExpiryWatch, type ExpiryWatch } from './expiry.ts'
import { openForeignWatch } from './foreign-watch.ts'
import type { Foundation } from './foundation.ts'
import { openJudge, type Judge } from './judge.ts'
import { openKernelPolicy, type KernelPolicy } from './kernel-policy.ts'
import { openScopeKeeper, type ScopeKeeper } from './scope-keeper.ts'
import type { DaemonSettings } from './settings.ts'
import { openWorkerPool, type WorkerPool } from './workers.ts'

/** The parts of a serving daemon, wired to each other. */
export interface Serving {
  readonly board: ConditionBoard
  readonly lease: Lease
  readonly judge: Judge
  readonly pool: WorkerPool
  readonly intermediates: IntermediateKeeper
  readonly keeper: ScopeKeeper
  readonly capture: Capture | undefined
  readonly capturePort: number
  readonly auditFolder: string
  readonly trustListeners: TrustListeners
  readonly expiries: ExpiryWatch
  /** Brings what is reported up to date: with what was last compiled, with what the kernel saw, and with the scope. */
  reportScope(): void
}

/** Of owners of connections, by user: the attestor takes so many calls at once that there is room beside them. */
const maxLookUps = { maxPerKey: 512, maxTotal: 2048 }
/** Attestations, by user: few at a time, for they come to one process, and few enough waiting to be had in time. */
const attestations = { atOnce: 16, maxWaiting: 1024 }

/** Says of each identity what this daemon cannot do for it. */
function reportIdentities(board: ConditionBoard, judge: Judge, kernel: KernelPolicy | undefined): void {
  board.replace(
    'NotCapturable',
    (kernel?.notCapturable() ?? []).map(({ identity, reason }) => ({
      subject: `workloadidentity/${identity}`,
      type: 'NotCapturable',
      status: 'True',
      reason: 'NoKernelFilter',
      message: reason,
    })),
  )
  board.replace(
    'SelectorsCollected',
    [...judge.uncollected()].map(([identity, keys]) => ({
      subject: `workloadidentity/${identity}`,
      type: 'SelectorsCollected',
      status: 'False',
      reason: 'NotCollected',
      message: `this daemon does not collect ${keys.join(', ')}: selectors that use them never match`,
    })),
  )
}

/** Starts the workers and everything that the scope is put into effect by. */
export async function openServing(
  settings: DaemonSettings,
  foundation: Foundation,
  {
    stack,
    clock,
    log,
    random,
  }: { stack: AsyncDisposableStack; clock: Clock; log: Log; random: () => number },
): Promise<Serving> {
  const { attestor, node, stateDir, onlyUid, upstreamCaPem } = foundation
  const pinDirectory = foundation.capture?.pinDirectory
  const capture = pinDirectory === undefined ? undefined : stack.use(openCapture(pinDirectory))
  const capturePort = settings.capturePort === 0 ? await findCapturePort(random) : settings.capturePort
  const auditFolder = join(stateDir, 'audit')
  // SECURITY: the host may trust the intercept root; we do not: it proves no upstream.
  const systemRootsPem = (await readSystemRoots()).replace(node.interceptRoot.toString(), '')
  const board = openConditionBoard()
  const lease = openLease(clock)
  const kernel = capture && openKernelPolicy(capture, attestor)
  const judge = openJudge({ attestor, capture, log: pacedLog(log, clock) })
  const lookUps = new Counts<number>(maxLookUps)
  const inTurn = openTurns<number>(attestations)
  const pool = stack.use(
    openWorkerPool({
      count: settings.workers,
      module: new URL('./worker.ts', import.meta.url),
      relocate: foundation.relocate,
      configure: (name) => ({
        name,
        logLevel: settings.logLevel,
        auditFolder,
        auditLimitBytes: Math.floor((settings.auditSpoolMib * 1024 * 1024) / settings.workers),
        auditWhenFull: settings.auditWhenFull,
        systemRootsPem,
        upstreamCaPem,
        connectTo: settings.connectTo,
        onlyUid,
        capture: pinDirectory === undefined ? undefined : { pinDirectory, port: capturePort },
      }),
      answersFor: (name) => ({
        // SECURITY: whoever starts many processes that connect keeps nobody else from being attested.
        judge: (request) => inTurn(request.process.uid, () => judge.judge(request)),
        async findOwner(connection) {
          const { uid } = connection
          if (!lookUps.enter(uid))
            throw new Fault('BUFFERS_EXHAUSTED', `user ${uid} opens too many connections`)
          return await attestor.findOwner(connection).finally(() => lookUps.leave(uid))
        },
        reportCondition: (condition) => board.set(name, condition),
      }),
      onEnded: (name) => board.replace(name, []),
      leaseMs: () => lease.remainingMs(),
      problems: () => board.all().map(({ subject, type }) => ({ subject, type })),
      clock,
      log,
      random,
    }),
  )
  const leaves = openLeaves({ clock, random: randomBytes, maxHosts: 8 })
  const intermediates = openIntermediateKeeper({
    node,
    async onIssued(authorities) {
      leaves.setIssuers(authorities)
      await pool.setAuthorities(authorities)
    },
    clock,
    log,
    random,
  })
  const keeper = openScopeKeeper({
    judge,
    pool,
    kernel,
    log,
    onScope(scope) {
      intermediates.setHosts(boundHosts(scope))
      reportScope()
    },
  })
  const expiries = openExpiryWatch({ board, clock, log })
  const foreign = capture && openForeignWatch({ capture, board, clock })
  const reportScope = (): void => {
    reportIdentities(board, judge, kernel)
    foreign?.look()
    expiries.look(keeper.scope())
  }
  const trustListeners = stack.use(
    openTrustListeners({
      hosts: () => boundHosts(keeper.scope()),
      contextFor: (host) => leaves.contextFor(host),
      clock,
    }),
  )
  return {
    board,
    lease,
    judge,
    pool,
    intermediates,
    keeper,
    capture,
    capturePort,
    auditFolder,
    trustListeners,
    expiries,
    reportScope,
  }
}
