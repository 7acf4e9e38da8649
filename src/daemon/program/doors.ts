import { readFileSync, statSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { cannotListen } from '#base/errors'
import type { Handover } from './worker-protocol.ts'
import type { WorkerPool } from './workers.ts'

/** The descriptor behind a listening socket, for system calls on it. */
export function listenerDescriptor(server: Server): number {
  return (server as Server & { _handle: { fd: number } })._handle.fd
}

/** Disposal ends the accepting; connections belong to the workers. */
export interface Door extends Disposable {
  /** 0 for a Unix socket. */
  readonly port: number
}

/** Of `sun_path`, unix(7), without its end. */
const maxSocketPath = 107

/** Accepts connections and gives each to a worker. @throws Fault SETTING_INVALID where it cannot listen */
export async function openDoor(
  pool: Pick<WorkerPool, 'handOver'>,
  kind: Handover['handover'],
  listen: { path: string; everyone: boolean } | { host: string; port: number },
): Promise<Door> {
  const server = createServer(
    { pauseOnConnect: true, allowHalfOpen: true, noDelay: true },
    (socket: Socket) => pool.handOver(kind, socket),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const place = 'path' in listen ? listen.path : `${listen.host}:${listen.port}`
      // The kernel has no other words for it.
      const isTooLong = Buffer.byteLength(place) > maxSocketPath
      const hint = `the path of a socket has ${maxSocketPath} bytes at most: name a shorter --run-dir`
      reject(cannotListen(`the ${kind}`, place, error, isTooLong ? hint : undefined))
    })
    const where =
      'path' in listen
        ? { path: listen.path, readableAll: listen.everyone, writableAll: listen.everyone }
        : listen
    server.listen({ ...where, backlog: 1024 }, resolve)
  })
  const address = server.address() as AddressInfo | string
  return {
    port: typeof address === 'string' ? 0 : address.port,
    // Node.js calls back only when the workers have closed every connection: that is not waited for.
    [Symbol.dispose]: () => void server.close(),
  }
}

/**
 * Says which of these sockets, just opened, has been removed since, or replaced by somebody else's: we listen on, and
 * nobody reaches us there.
 */
export function watchSockets(paths: readonly string[]): () => string | undefined {
  const inodeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.ino
  const opened = paths.map((path) => ({ path, inode: inodeOf(path) }))
  return () => opened.find(({ path, inode }) => inodeOf(path) !== inode)?.path
}

/** A free port outside the range from which the kernel picks ports of clients. */
export async function findCapturePort(random: () => number): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(random() * 15_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen({ host: '127.0.0.1', port }, () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Whether IPv6 leads anywhere from here: a default route that is no refusal (security rule 6). */
export function hasIpv6Route(table = readFileSync('/proc/net/ipv6_route', 'latin1')): boolean {
  const refusing = 0x0200 // RTF_REJECT
  return table
    .trim()
    .split('\n')
    .some((line) => {
      const [destination, prefix, , , , , , , flags, device] = line.split(/\s+/)
      const isDefault = prefix === '00' && /^0+$/.test(destination ?? '')
      return isDefault && device !== 'lo' && (Number.parseInt(flags ?? '0', 16) & refusing) === 0
    })
}
