// A daemon of the capture tests: an unprivileged process with nothing but the pinned maps. It judges by uid, as
// it is told on standard input, and answers every connection with what it knows of it.
import { once } from 'node:events'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { netnsCookie } from '#base/syscall'
import {
  heartbeatIntervalMs,
  openCapture,
  type CapturedConnection,
  type CapturedDestination,
  type CapturePolicy,
  type CandidateRule,
} from '#daemon/capture'

/** What a test tells: `verdicts` is by uid; a uid without one stays unjudged. */
export interface Orders {
  readonly rules?: readonly CandidateRule[]
  readonly captureAll?: boolean
  readonly destinations?: readonly (readonly [number, readonly CapturedDestination[]])[]
  readonly verdicts?: Readonly<Record<number, number | 'stranger'>>
  readonly ipv6Usable?: boolean
  readonly stopHeartbeat?: true
  /** Asks whether the verdict on the last process of this uid still holds. */
  readonly holds?: number
}

/** What the daemon saw of one connection. */
export interface Seen {
  readonly connection: CapturedConnection
  /** Whether the record could be taken again. */
  readonly takenTwice: boolean
  readonly verdictSet: boolean | undefined
}

const replacer = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)
const reviver = (_: string, value: unknown) =>
  typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value
/** JSON with bigints, for both ends. */
export const encode = (value: unknown): string => JSON.stringify(value, replacer)
export const decode = (text: string): unknown => JSON.parse(text, reviver)

async function main(pinDirectory: string): Promise<void> {
  using capture = openCapture(pinDirectory)
  let verdicts: NonNullable<Orders['verdicts']> = {}
  const last = new Map<number, CapturedConnection['process']>()
  const say = (value: unknown) => process.stdout.write(`${encode(value)}\n`)

  let cookie = 0n
  const accept = (socket: net.Socket) => {
    const { remoteAddress, remotePort } = socket
    socket.on('error', () => {})
    const connection = remoteAddress && capture.takeOrigin(remoteAddress, remotePort!, cookie)
    if (!connection) {
      say({ missing: `${remoteAddress} ${remotePort}` })
      socket.resetAndDestroy()
      return
    }
    const takenTwice = capture.takeOrigin(remoteAddress, remotePort!, cookie) !== undefined
    const verdict = verdicts[connection.process.uid]
    const verdictSet = verdict === undefined ? undefined : capture.setVerdict(connection.process, verdict)
    last.set(connection.process.uid, connection.process)
    say({ connection, takenTwice, verdictSet } satisfies Seen)
    const { address, port } = connection.destination
    socket.write(`captured ${connection.identity} ${address} ${port}\n`)
    socket.on('end', () => socket.end())
  }

  const ipv4 = net.createServer({ allowHalfOpen: true }, accept)
  ipv4.listen({ host: '127.0.0.1', port: 0, reusePort: true })
  await once(ipv4, 'listening')
  const { port } = ipv4.address() as net.AddressInfo
  const ipv6 = net.createServer({ allowHalfOpen: true }, accept)
  ipv6.listen({ host: '::1', port, ipv6Only: true, reusePort: true })
  await once(ipv6, 'listening')
  cookie = netnsCookie((ipv4 as unknown as { _handle: { fd: number } })._handle.fd)

  capture.registerListener({ netnsCookie: cookie, port, ipv6Usable: true })
  let beating = true
  setInterval(() => beating && capture.heartbeat(), heartbeatIntervalMs)

  const obey = (orders: Orders): unknown => {
    if (orders.verdicts) verdicts = orders.verdicts
    if (orders.destinations) {
      const policy: CapturePolicy = {
        candidates: { rules: orders.rules ?? [], captureAll: orders.captureAll ?? false },
        destinations: new Map(orders.destinations),
      }
      capture.setPolicy(policy)
    }
    if (orders.ipv6Usable !== undefined) {
      capture.registerListener({ netnsCookie: cookie, port, ipv6Usable: orders.ipv6Usable })
    }
    if (orders.stopHeartbeat) {
      beating = false
      capture.stopHeartbeat()
    }
    if (orders.holds !== undefined) {
      const process = last.get(orders.holds)
      return { done: process !== undefined && capture.verdictHolds(process) }
    }
    return { done: true }
  }
  say({ port })
  for await (const line of createInterface(process.stdin)) {
    const answer = obey(decode(line) as Orders)
    if (beating) capture.heartbeat()
    say(answer)
  }
  process.exit(0)
}

if (import.meta.main) await main(process.argv[2]!)
