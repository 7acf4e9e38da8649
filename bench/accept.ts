/**
 * What a connection costs before it is served: in the kernel at connect, by the kernel's own statistics, and in a
 * worker between its accept and the decision where it goes. Its parts are those of a daemon, put together in this
 * process, so that they can be timed; the process behind the connections is known and attested already.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { allocateMemory, must, netnsCookie, syscall } from '#base/syscall'
import {
  attachCapture,
  captureStatus,
  cgroupMount,
  heartbeatIntervalMs,
  openCapture,
  releaseCapture,
  type CapturedProcess,
} from '#daemon/capture'
import { openDataPlane } from '#daemon/outbound'
import { applyScopeUpdate, emptyScope } from '#model/scope'
import { openIdentifier } from '../src/daemon/program/identifier.ts'
import { openIntake } from '../src/daemon/program/intake.ts'
import { median } from './table.ts'
import { scopeFor } from './tideway.ts'

/** Of one connection, in microseconds. */
export interface AcceptCosts {
  /** Run time of our kernel programs for each connect: captured, and of a process that is nobody's. */
  readonly captured: number
  readonly stranger: number
  /** From the return of accept until the worker waits for the ClientHello: whose connection it is, is known. */
  readonly untilAttested: number
  /** That, and from the ClientHello in hand to the decision: what the worker itself does. */
  readonly ownWork: number
  /** From the return of accept to the decision, reading the ClientHello included. */
  readonly untilRouted: number
}

const connects = 2_000
const identityNumber = 1

/** Sends a ClientHello on one connection after the other. `PORT COUNT` */
const client = `
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Duplex } from 'node:stream'
const [port, count] = process.argv.slice(1).map(Number)
const hello = await new Promise((resolve) => {
  const wire = new Duplex({ read() {}, write: (bytes) => resolve(bytes) })
  connectTls({ socket: wire, servername: 's3.us-east-1.amazonaws.com', ALPNProtocols: ['http/1.1'] })
})
for (let index = 0; index < count; index += 1) {
  const socket = connect(port, '127.0.0.1').on('error', () => {}).resume()
  socket.write(hello)
  await new Promise((resolve) => socket.once('close', resolve))
}
process.exit()`

const command = { programById: 13, infoByFd: 15, enableStats: 32 }

/** Switches the kernel's statistics on until the descriptor is closed. */
function enableStatistics(): number {
  const { address } = allocateMemory(8)
  return must('switch BPF statistics on', syscall('bpf', command.enableStats, address, 4))
}

/** They run for every process of the machine, and for no connect. */
const lifeOfProcesses = ['exec', 'fork', 'exit']

/** Run time so far of the programs at the other hooks, in microseconds. */
function kernelMicros(pinDirectory: string): number {
  const status = captureStatus(pinDirectory)
  if (!status.attached) throw new TypeError('nothing is attached')
  const { address, bytes } = allocateMemory(1024)
  const [infoOffset, infoBytes, runTimeOffset] = [512, 256, 192]
  const links = status.links.filter(({ hook }) => !lifeOfProcesses.includes(hook))
  return links.reduce((sum, { programId }) => {
    bytes.fill(0)
    bytes.writeUInt32LE(programId)
    const fd = must('open a BPF program', syscall('bpf', command.programById, address, 16))
    bytes.fill(0)
    bytes.writeUInt32LE(fd)
    bytes.writeUInt32LE(infoBytes, 4)
    bytes.writeBigUInt64LE(address + BigInt(infoOffset), 8)
    must('describe a BPF program', syscall('bpf', command.infoByFd, address, 16))
    closeSync(fd)
    return sum + Number(bytes.readBigUInt64LE(infoOffset + runTimeOffset)) / 1000
  }, 0)
}

/** When what happened to one connection, in milliseconds. */
interface Times {
  readonly accepted: number
  waits?: number
  hello?: number
  routed?: number
}

/** Marks when `socket` is first read in vain, when its first bytes are read, and when it is routed: then it ends. */
function watch(socket: Socket, times: Times): void {
  const read = socket.read.bind(socket)
  socket.read = (size?: number) => {
    const bytes = read(size) as Buffer | null
    if (bytes === null) times.waits ??= performance.now()
    else times.hello ??= performance.now()
    return bytes
  }
  // Without a certificate authority the data plane waits for one, one look-up behind its decision to intercept.
  const once = socket.once.bind(socket)
  socket.once = (...given: Parameters<typeof once>) => {
    if (times.hello !== undefined && times.routed === undefined) {
      times.routed = performance.now()
      setImmediate(() => socket.resetAndDestroy())
    }
    return once(...given)
  }
}

export async function measureAccept(): Promise<AcceptCosts> {
  await using stack = new AsyncDisposableStack()
  const base = mkdtempSync(join(cgroupMount(), 'tideway-bench-'))
  const cgroups = ['daemon', 'work'].map((name) => join(base, name))
  stack.defer(() => [...cgroups, base].forEach((path) => rmdirSync(path)))
  cgroups.forEach((path) => mkdirSync(path))
  const [daemonCgroup = '', workCgroup = ''] = cgroups
  const pinDirectory = mkdtempSync(join(tmpdir(), 'tideway-pins-'))
  stack.defer(() => void releaseCapture(pinDirectory))
  const owner = { uid: 0, gid: 0 }
  await attachCapture({ attachCgroup: base, daemonCgroup, pinDirectory, owner, clock: systemClock })
  const capture = stack.use(openCapture(pinDirectory))
  const beat = setInterval(() => capture.heartbeat(), heartbeatIntervalMs)
  stack.defer(() => clearInterval(beat))
  capture.heartbeat()

  // Where connections go that are not captured.
  const cloud = createServer((socket) => socket.on('error', () => {}).destroy()).listen(0, '127.0.0.1')
  stack.defer(() => void cloud.close())
  await once(cloud, 'listening')
  const { port } = cloud.address() as AddressInfo

  let verdict: number | 'stranger' = identityNumber
  const identifier = openIdentifier({
    judge: async ({ process }) => {
      capture.setVerdict(process as CapturedProcess, verdict)
      return { generation: 1, pin: process, identity: 'app', executable: '/app' }
    },
    capture,
    isMainAlive: () => true,
    clock: systemClock,
  })
  const scope = applyScopeUpdate(emptyScope, scopeFor(port))
  identifier.setPolicy(scope, 1)
  const plane = stack.use(
    openDataPlane({
      clock: systemClock,
      log: silentLog,
      identifier,
      audit: { start: async () => {}, end: () => {} },
      connectTo: [],
      upstreamTrust: { systemRootsPem: [] },
      lease: () => true,
      random: randomBytes,
    }),
  )
  plane.apply(scope)
  const intake = openIntake({
    accept: (socket, origin) => plane.accept(socket, origin),
    uidOf: async () => undefined,
    findOwner: async () => undefined,
    onlyUid: undefined,
    overriddenHosts: [],
    clock: systemClock,
  })
  const seen: Times[] = []
  let accepted = 0
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    const times = { accepted }
    seen.push(times)
    watch(socket, times)
    intake.captured(socket, capture, cookie)
  }).listen(0, '127.0.0.1')
  stack.defer(() => void listener.close())
  await once(listener, 'listening')
  // The accept itself: what Node makes of it counts.
  const { _handle: handle } = listener as unknown as { _handle: { fd: number; onconnection: Function } }
  const onConnection = handle.onconnection
  handle.onconnection = function (...given: unknown[]) {
    accepted = performance.now()
    return Reflect.apply(onConnection, this, given)
  }
  const cookie = netnsCookie(handle.fd)
  capture.registerListener({
    netnsCookie: cookie,
    port: (listener.address() as AddressInfo).port,
    ipv6Usable: false,
  })
  capture.setPolicy({
    candidates: { rules: [{ kind: 'uid', id: 0 }], captureAll: false },
    destinations: new Map([[identityNumber, [{ port, loopbackAddress: '127.0.0.1' }]]]),
  })

  const statistics = enableStatistics()
  stack.defer(() => closeSync(statistics))
  const kernelMicrosOf = async (): Promise<number> => {
    const before = kernelMicros(pinDirectory)
    const enter = `echo $$ > ${workCgroup}/cgroup.procs; exec "$@"`
    const node = [process.execPath, '--input-type=module', '-e', client, String(port), String(connects)]
    const child = spawn('/bin/sh', ['-c', enter, 'sh', ...node], { stdio: ['ignore', 'ignore', 'inherit'] })
    await once(child, 'exit')
    return (kernelMicros(pinDirectory) - before) / connects
  }
  const captured = await kernelMicrosOf()
  // The first of each process is judged; what comes first is not compiled yet.
  const steady = seen.slice(-connects / 2).filter(({ routed }) => routed !== undefined)
  if (steady.length < connects / 4) throw new Error('connections were not captured')
  verdict = 'stranger'
  const stranger = await kernelMicrosOf()
  const micros = (pick: (times: Required<Times>) => number) =>
    median(steady.map((times) => 1000 * pick({ waits: times.hello ?? 0, ...times } as Required<Times>)))
  return {
    captured,
    stranger,
    untilAttested: micros(({ accepted, waits }) => waits - accepted),
    ownWork: micros(({ accepted, waits, hello, routed }) => waits - accepted + routed - hello),
    untilRouted: micros(({ accepted, routed }) => routed - accepted),
  }
}

export function toldAccept(costs: AcceptCosts): string {
  const { captured, stranger, untilAttested, ownWork, untilRouted } = costs
  return (
    `Kernel programs for each connect: ${captured.toFixed(1)} us captured (goal 5), ${stranger.toFixed(1)} us otherwise (goal 1).\n` +
    `A worker, from accept, process attested already: ${untilAttested.toFixed(0)} us until it waits for the ClientHello, ${ownWork.toFixed(0)} us with\n` +
    `what it does behind that until the route is decided (goal 50), ${untilRouted.toFixed(0)} us with reading the ClientHello in between.`
  )
}
