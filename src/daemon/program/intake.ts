import { closeSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Clock } from '#base/clock'
import { peerCredentials, peerPidfd } from '#base/syscall'
import type { ClientConnection } from '#daemon/attestation'
import type { Capture, ConnectionOrigin } from '#daemon/capture'
import { Counts } from '#daemon/outbound'
import { parsePreamble, placeholderAddresses } from '#daemon/run'
import type { ProcessPin } from '#model/identity'
import { readProxyRequest, refuseProxyRequest, tunnelEstablished } from './explicit-proxy.ts'

/** Until a client has said where it wants to go, from the moment that we read: however often it says a little. */
const openingMs = 10_000
/** Connections that have not said so yet, each of which holds up to 64 KiB; more are closed. */
const maxOpenings = { maxPerKey: 256, maxTotal: 1024 }
/** Stands for the user of a connection whose process is not known. */
const unknownUid = -1

/** The descriptor behind a socket, for system calls on it. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as Socket & { _handle?: { fd?: number } })._handle ?? {}
  if (fd === undefined || fd < 0) throw new TypeError('the socket has no descriptor')
  return fd
}

/** Reads until `parse` gives something; undefined when the connection ends or takes too long. */
function readOpening<T>(
  socket: Socket,
  parse: (bytes: Buffer) => T | undefined,
  clock: Clock,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let held = Buffer.alloc(0)
    const finish = (value: T | undefined) => {
      socket.off('data', onData).off('close', onEnd).off('end', onEnd)
      cancel()
      socket.pause()
      resolve(value)
    }
    const onData = (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      const parsed = parse(held)
      if (parsed !== undefined) finish(parsed)
    }
    const onEnd = () => finish(undefined)
    const cancel = clock.after(openingMs, onEnd, { unref: true })
    socket.on('data', onData).on('close', onEnd).on('end', onEnd)
    socket.resume()
    if (socket.destroyed) onEnd()
  })
}

const isMapped = (address: string) => address.startsWith('::ffff:') && address.includes('.')
const unmapped = (address: string) => (isMapped(address) ? address.slice('::ffff:'.length) : address)

/**
 * The kernel's record of a connection. SECURITY: one without a record did not come by way of the kernel, and has
 * to be reset (security rule 4).
 */
function takeOrigin(socket: Socket, capture: Capture, netnsCookie: bigint): ConnectionOrigin | undefined {
  const { remoteAddress, remotePort } = socket
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  try {
    return capture.takeOrigin(remoteAddress, remotePort, netnsCookie)
  } catch {
    return undefined
  }
}

export interface IntakeOptions {
  readonly accept: (socket: Socket, origin: ConnectionOrigin, head?: Buffer) => void
  readonly findOwner: (connection: ClientConnection) => Promise<ProcessPin | undefined>
  readonly onlyUid: number | undefined
  /** Names that stand behind placeholder addresses in enclosures. */
  readonly overriddenHosts: readonly string[]
  readonly clock: Clock
}

/** Gets connections of every kind ready for the data plane: who opened each, and where it was meant to go. */
export interface Intake {
  /** One that the kernel redirected to us. `netnsCookie` is of the listener, whose namespace it shares. */
  captured(socket: Socket, capture: Capture, netnsCookie: bigint): void
  /** One of a relay of `tideway run`, on the connect socket. */
  relayed(socket: Socket): Promise<void>
  /** One of a client of the explicit proxy. */
  proxied(socket: Socket): Promise<void>
}

export function openIntake({ accept, findOwner, onlyUid, overriddenHosts, clock }: IntakeOptions): Intake {
  const placeholders = placeholderAddresses(overriddenHosts)
  const hostBehind = new Map([...placeholders].map(([host, address]) => [address, host]))
  const serves = (uid: number) => onlyUid === undefined || uid === onlyUid
  const openings = new Counts<number>(maxOpenings)

  /** As `readOpening`. SECURITY: those of one user at a time are few, so that they leave room for others'. */
  async function read<T>(
    socket: Socket,
    uid: number,
    parse: (bytes: Buffer) => T | undefined,
  ): Promise<T | undefined> {
    if (!openings.enter(uid)) return undefined
    try {
      return await readOpening(socket, parse, clock)
    } finally {
      openings.leave(uid)
    }
  }

  /** The relay behind a Unix socket, if it is still the one that connected and may be served. */
  const relayOf = (socket: Socket): { pid: number; uid: number; isAlive: () => boolean } | undefined => {
    const fd = descriptorOf(socket)
    const { pid, uid } = peerCredentials(fd)
    if (pid === 0 || !serves(uid)) return undefined
    const pidfd = peerPidfd(fd)
    socket.once('close', () => closeSync(pidfd))
    // -1 once the process has gone, whoever has its number then.
    const isAlive = () =>
      /^Pid:\t(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1'))?.[1] === String(pid)
    return { pid, uid, isAlive }
  }
  const takeRelayed = async (socket: Socket): Promise<boolean> => {
    const relay = relayOf(socket)
    if (!relay) return false
    const opening = await read(socket, relay.uid, (bytes) => {
      const parsed = parsePreamble(bytes)
      return parsed === 'incomplete' ? undefined : { parsed, bytes }
    })
    if (!opening || opening.parsed === 'invalid') return false
    const { preamble, length } = opening.parsed
    const owner = await findOwner({ network: { pid: relay.pid }, ...preamble })
    // SECURITY: a relay speaks for its own user only, and only while it lives: else it could name a connection
    // of somebody else and have its own bytes signed in their name.
    if (!owner || owner.uid !== relay.uid || !relay.isAlive()) return false
    const address = unmapped(preamble.server.address)
    const host = hostBehind.get(address)
    const { port } = preamble.server
    const destination = host === undefined ? { address, port } : { host, port }
    const origin = { level: 'workload', process: owner, destination, netnsCookie: 0n } as const
    accept(socket, origin, opening.bytes.subarray(length))
    return true
  }
  const takeProxied = async (socket: Socket): Promise<boolean> => {
    const { remoteAddress, remotePort, localAddress, localPort } = socket
    if (!remoteAddress || !localAddress) return false
    const owner = await findOwner({
      network: 'ours',
      client: { address: unmapped(remoteAddress), port: remotePort! },
      server: { address: unmapped(localAddress), port: localPort! },
    })
    const request = await read(socket, owner?.uid ?? unknownUid, readProxyRequest)
    if (!request) return false
    if (request.kind === 'refused') {
      refuseProxyRequest(socket, request.status, request.reason)
      return true
    }
    if (!owner || !serves(owner.uid)) {
      refuseProxyRequest(socket, 403, 'the process behind this connection cannot be attested')
      return true
    }
    const { host, port, rest } = request
    if (request.kind === 'tunnel') socket.write(tunnelEstablished)
    accept(socket, { level: 'user', process: owner, destination: { host, port }, netnsCookie: 0n }, rest)
    return true
  }
  /** SECURITY: whatever goes wrong, a connection that was not taken is closed. */
  const orDestroy = async (socket: Socket, take: (socket: Socket) => Promise<boolean>): Promise<void> => {
    socket.on('error', () => {})
    const taken = await take(socket).catch(() => false)
    if (!taken) socket.destroy()
  }
  return {
    captured(socket, capture, netnsCookie) {
      socket.on('error', () => {})
      const origin = takeOrigin(socket, capture, netnsCookie)
      if (origin) accept(socket, origin)
      else socket.resetAndDestroy()
    },
    relayed: (socket) => orDestroy(socket, takeRelayed),
    proxied: (socket) => orDestroy(socket, takeProxied),
  }
}
