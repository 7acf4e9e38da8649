import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import process from 'node:process'
import { systemClock } from '#base/clock'
import { isFault } from '#base/errors'
import { returnFreedMemory } from '#base/lifecycle'
import { openLog, pacedLog } from '#base/log'
import { netnsCookie } from '#base/syscall'
import { openSocketUids } from '#daemon/attestation'
import { openAuditSpool } from '#daemon/audit-spool'
import { openCapture, type Capture } from '#daemon/capture'
import { openDataPlane, type DataPlane } from '#daemon/outbound'
import { hardenProcess, openPeer, type Answers, type Peer } from '#daemon/processes'
import { applyScopeUpdate, emptyScope } from '#model/scope'
import { listenerDescriptor } from './doors.ts'
import { openIdentifier, type WorkerIdentifier } from './identifier.ts'
import { openIntake, type Intake } from './intake.ts'
import { fromScopeMessage } from './scope-message.ts'
import {
  isHandover,
  silenceLimitMs,
  workerHeartbeatMs,
  type MainProtocol,
  type WorkerProtocol,
} from './worker-protocol.ts'

// A worker process: carries connections. It obeys its parent, and ends with it.
hardenProcess()
process.on('SIGINT', () => {}) // the terminal tells the whole group: the parent decides when we end
process.on('disconnect', () => process.exit(0))

const clock = systemClock
let lastHeartbeat = -Infinity
let leaseUntil = -Infinity
function takeHeartbeat(leaseMs: number): void {
  lastHeartbeat = clock.monotonic()
  leaseUntil = lastHeartbeat + leaseMs
}
// What this process could not hear because it was stopped or starved itself is not the silence of the other: for as
// long as its own timer is late, time does not count.
let timerDue = Infinity
async function countOwnStalls(): Promise<never> {
  for (;;) {
    timerDue = clock.monotonic() + workerHeartbeatMs
    await clock.sleep(workerHeartbeatMs, { unref: true })
    const now = clock.monotonic()
    lastHeartbeat = Math.min(now, lastHeartbeat + now - timerDue)
  }
}
void countOwnStalls()
void returnFreedMemory(clock)
const isMainAlive = () => Math.min(clock.monotonic(), timerDue) - lastHeartbeat < silenceLimitMs

interface Serving {
  readonly plane: DataPlane
  readonly identifier: WorkerIdentifier
  readonly intake: Intake
  readonly listen: () => Promise<{ ipv6: boolean }>
}

let serving: Serving | undefined
/** Set by the first scope: before it, everything would pass as unbound. */
let scope: typeof emptyScope | undefined

/** Listens where the kernel leads captured connections; several workers share the port. */
async function listenCaptured(capture: Capture, port: number, intake: Intake): Promise<{ ipv6: boolean }> {
  const listen = (host: string) =>
    new Promise<boolean>((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
        // Whoever comes before the first scope is refused, as if nobody were here.
        if (scope) intake.captured(socket, capture, cookie)
        else socket.resetAndDestroy()
      })
      let cookie = 0n
      server.once('error', (error: NodeJS.ErrnoException) =>
        error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT' ? resolve(false) : reject(error),
      )
      server.listen({ host, port, reusePort: true, backlog: 4096 }, () => {
        cookie = netnsCookie(listenerDescriptor(server))
        resolve(true)
      })
    })
  await listen('127.0.0.1')
  return { ipv6: await listen('::1') }
}

const answers: Answers<WorkerProtocol> = {
  async configure(configuration) {
    const log = openLog({ program: `tideway-${configuration.name}`, level: configuration.logLevel })
    const capture = configuration.capture && openCapture(configuration.capture.pinDirectory)
    const identifier = openIdentifier({
      judge: (request) => main.call('judge', request),
      capture,
      isMainAlive,
      clock,
    })
    const plane = openDataPlane({
      clock,
      // What it says hangs on connections, which any user can open and let fail.
      log: pacedLog(log, clock),
      identifier,
      audit: openAuditSpool({
        folder: configuration.auditFolder,
        writer: configuration.name,
        limitBytes: configuration.auditLimitBytes,
        whenFull: configuration.auditWhenFull,
        clock,
        log,
        newId: () => randomBytes(9).toString('base64url'),
      }),
      connectTo: configuration.connectTo,
      upstreamTrust: {
        systemRootsPem: [configuration.systemRootsPem],
        ...(configuration.upstreamCaPem !== undefined && { extraCaPem: configuration.upstreamCaPem }),
      },
      lease: () => isMainAlive() && clock.monotonic() < leaseUntil,
      random: randomBytes,
      onCondition: (condition) => void main.call('reportCondition', condition).catch(() => {}),
    })
    const intake = openIntake({
      accept: (socket, origin, head) => plane.accept(socket, origin, head),
      uidOf: openSocketUids(),
      findOwner: (connection) => main.call('findOwner', connection),
      onlyUid: configuration.onlyUid,
      overriddenHosts: configuration.connectTo.map(({ host }) => host),
      clock,
    })
    const { port } = configuration.capture ?? {}
    const listen = async () =>
      capture && port !== undefined ? await listenCaptured(capture, port, intake) : { ipv6: false }
    serving = { plane, identifier, intake, listen }
  },
  listen: () => serving!.listen(),
  apply({ update, generation, leaseMs }) {
    takeHeartbeat(leaseMs)
    const { plane, identifier } = serving!
    scope = applyScopeUpdate(scope ?? emptyScope, fromScopeMessage(update))
    identifier.setPolicy(scope, generation)
    return plane.apply(scope)
  },
  async lookUp({ host, uid }) {
    try {
      return await serving!.plane.lookUp(host, uid)
    } catch (error) {
      if (isFault(error)) throw error
      return []
    }
  },
  setAuthorities(authorities) {
    serving!.plane.setLeafAuthorities(
      authorities.map(({ keyDer, chainDer, hosts }) => ({
        key: createPrivateKey({ key: Buffer.from(keyDer), format: 'der', type: 'pkcs8' }),
        chain: chainDer.map((der) => new X509Certificate(der)),
        hosts,
      })),
    )
  },
  heartbeat({ leaseMs, problems }) {
    serving!.plane.doubt(problems)
    takeHeartbeat(leaseMs)
    return serving!.plane.stats()
  },
}

const main: Peer<MainProtocol> = openPeer<MainProtocol, WorkerProtocol>({
  endpoint: process,
  answers,
  clock,
  timeoutMs: 10_000,
})

process.on('message', (message, handle) => {
  if (!isHandover(message) || handle === undefined) return
  const socket = handle as Socket
  if (!serving || !scope) socket.destroy()
  else if (message.handover === 'relay') void serving.intake.relayed(socket)
  else void serving.intake.proxied(socket)
})
