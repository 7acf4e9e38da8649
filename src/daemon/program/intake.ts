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

/** Until a client is known and has said where it wants to go: however often it says a little. */
const openingMs = 10_000
/** Connections of which that is not known yet, each of which holds up to 64 KiB; more are closed. */
const maxOpenings = { maxPerKey: 256, maxTotal: 1024 }
/** Stands for the user of a connection whose other end is not on this machine, or not there any more. */
const unknownUid = -1

/** The descriptor behind a socket, for system calls on it. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as Socket & { _handle?: { fd?: number } })._handle ?? {}
  if (fd === undefined || fd < 0) throw new TypeError('the socket has no descriptor')
  return fd
}

interface Relay {
  readonly pid: number
  readonly uid: number
  readonly isAlive: () => boolean
}

/** Of the explicit proxy. */
interface Client {
  readonly ends: Pick<ClientConnection, 'client' | 'server'>
  readonly uid: number | undefined
}

type Read = <T>(socket: Socket, parse: (bytes: Buffer) => T | undefined) => Promise<T | undefined>

/** Reads until `parse` gives something; undefined when the connection ends or takes too long. */
function readOpening<T>(
  socket: Socket,
  parse: (bytes: Buffer) => T | undefined,
  { clock, until }: { clock: Clock; until: number },
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
    const cancel = clock.after(until - clock.monotonic(), onEnd, { unref: true })
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
  /** Who made the client's socket of a connection to us; undefined when it is not there. Cheap. */
  readonly uidOf: (ends: Pick<ClientConnection, 'client' | 'server'>) => Promise<number | undefined>
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

export function openIntake(options: IntakeOptions): Intake {
  const { accept, uidOf, findOwner, onlyUid, overriddenHosts, clock } = options
  const placeholders = placeholderAddresses(overriddenHosts)
  const hostBehind = new Map([...placeholders].map(([host, address]) => [address, host]))
  const serves = (uid: number) => onlyUid === undefined || uid === onlyUid
  const openings = new Counts<number>(maxOpenings)

  /**
   * Takes a connection of `uid` while it has room. SECURITY: what has to be found out about those of one user is under
   * way for few at a time, from the first costly step on, so that it leaves room for others'.
   */
  async function within(uid: number, take: (read: Read) => Promise<boolean>): Promise<boolean> {
    if (!openings.enter(uid)) return false
    const until = clock.monotonic() + openingMs
    try {
      return await take((socket, parse) => readOpening(socket, parse, { clock, until }))
    } finally {
      openings.leave(uid)
    }
  }

  /** The relay behind a Unix socket, if it is still the one that connected and may be served. */
  const relayOf = (socket: Socket): Relay | undefined => {
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
  const takeRelayed = async (socket: Socket, relay: Relay, read: Read): Promise<boolean> => {
    const opening = await read(socket, (bytes) => {
      const parsed = parsePreamble(bytes)
      return parsed === 'incomplete' ? undefined : { parsed, bytes }
    })
    if (!opening || opening.parsed === 'invalid') return false
    const { preamble, length } = opening.parsed
    const owner = await findOwner({ network: { pid: relay.pid }, uid: relay.uid, ...preamble })
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
  const takeProxied = async (socket: Socket, client: Client, read: Read): Promise<boolean> => {
    const { uid, ends } = client
    const isKnown = uid !== undefined && serves(uid)
    const owner = isKnown ? await findOwner({ network: 'ours', uid, ...ends }) : undefined
    const request = await read(socket, readProxyRequest)
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
  const clientOf = async (socket: Socket): Promise<Client | undefined> => {
    const { remoteAddress, remotePort, localAddress, localPort } = socket
    if (!remoteAddress || !localAddress) return undefined
    const ends = {
      client: { address: unmapped(remoteAddress), port: remotePort! },
      server: { address: unmapped(localAddress), port: localPort! },
    }
    return { ends, uid: await uidOf(ends) }
  }
  /** SECURITY: whatever goes wrong, a connection that was not taken is closed. */
  const orDestroy = async (socket: Socket, take: () => Promise<boolean>): Promise<void> => {
    socket.on('error', () => {})
    const taken = await take().catch(() => false)
    if (!taken) socket.destroy()
  }
  return {
    captured(socket, capture, netnsCookie) {
      socket.on('error', () => {})
      const origin = takeOrigin(socket, capture, netnsCookie)
      if (origin) accept(socket, origin)
      else socket.resetAndDestroy()
    },
    relayed: (socket) =>
      orDestroy(socket, async () => {
        const relay = relayOf(socket)
        return relay !== undefined && (await within(relay.uid, (read) => takeRelayed(socket, relay, read)))
      }),
    proxied: (socket) =>
      orDestroy(socket, async () => {
        const client = await clientOf(socket)
        if (!client) return false
        return await within(client.uid ?? unknownUid, (read) => takeProxied(socket, client, read))
      }),
  }
}
