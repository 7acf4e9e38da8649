import { closeSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { peerCredentials, peerPidfd } from '#base/syscall'
import type { ClientConnection } from '#daemon/attestation'
import type { Capture, ConnectionOrigin } from '#daemon/capture'
import { parsePreamble, placeholderAddresses } from '#daemon/run'
import type { ProcessPin } from '#model/identity'
import { readProxyRequest, refuseProxyRequest, tunnelEstablished } from './explicit-proxy.ts'

// A client that says nothing must not hold a connection: long enough for a slow one to send its head.
const openingMs = 10_000

/** The descriptor behind a socket, for system calls on it. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as Socket & { _handle?: { fd?: number } })._handle ?? {}
  if (fd === undefined || fd < 0) throw new TypeError('the socket has no descriptor')
  return fd
}

/** Reads until `parse` gives something; undefined when the connection ends or takes too long. */
function readOpening<T>(socket: Socket, parse: (bytes: Buffer) => T | undefined): Promise<T | undefined> {
  return new Promise((resolve) => {
    let held = Buffer.alloc(0)
    const finish = (value: T | undefined) => {
      socket.off('data', onData).off('close', onEnd).off('end', onEnd).off('timeout', onEnd)
      socket.setTimeout(0)
      socket.pause()
      resolve(value)
    }
    const onData = (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      const parsed = parse(held)
      if (parsed !== undefined) finish(parsed)
    }
    const onEnd = () => finish(undefined)
    socket.on('data', onData).on('close', onEnd).on('end', onEnd).on('timeout', onEnd)
    socket.setTimeout(openingMs)
    socket.resume()
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

export function openIntake({ accept, findOwner, onlyUid, overriddenHosts }: IntakeOptions): Intake {
  const placeholders = placeholderAddresses(overriddenHosts)
  const hostBehind = new Map([...placeholders].map(([host, address]) => [address, host]))
  const serves = (uid: number) => onlyUid === undefined || uid === onlyUid

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
    const opening = await readOpening(socket, (bytes) => {
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
    const request = await readOpening(socket, readProxyRequest)
    if (!request || !remoteAddress || !localAddress) return false
    if (request.kind === 'refused') {
      refuseProxyRequest(socket, request.status, request.reason)
      return true
    }
    const owner = await findOwner({
      network: 'ours',
      client: { address: unmapped(remoteAddress), port: remotePort! },
      server: { address: unmapped(localAddress), port: localPort! },
    })
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
