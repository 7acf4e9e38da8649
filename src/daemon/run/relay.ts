import { connect, createServer, type Server, type Socket } from 'node:net'
import { formatPreamble } from './preamble.ts'

const maxConnections = 4096
const isMapped = (address: string) => address.startsWith('::ffff:') && address.includes('.')
const unmapped = (address: string) => (isMapped(address) ? address.slice('::ffff:'.length) : address)

/** Carries one connection to the daemon; without a daemon it is reset. */
function relay(socket: Socket, connectSocket: string): void {
  socket.on('error', () => {})
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || localAddress === undefined) return void socket.destroy()
  const daemon = connect({ path: connectSocket, allowHalfOpen: true })
  daemon.on('error', () => socket.resetAndDestroy())
  daemon.write(
    formatPreamble({
      client: { address: unmapped(remoteAddress), port: remotePort! },
      server: { address: unmapped(localAddress), port: localPort! },
    }),
  )
  socket.once('close', () => daemon.destroySoon())
  socket.pipe(daemon)
  daemon.pipe(socket)
}

/**
 * Listens on every address of this network namespace, at each of `ports`: with a local default route that is every
 * address there is, and the local end of a connection is where it was meant to go.
 */
export async function openRelays({
  ports,
  ipv6,
  connectSocket,
}: {
  ports: readonly number[]
  ipv6: boolean
  connectSocket: string
}): Promise<readonly Server[]> {
  return await Promise.all(
    ports.map(async (port) => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        relay(socket, connectSocket),
      )
      server.maxConnections = maxConnections
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host: ipv6 ? '::' : '0.0.0.0', port, backlog: 1024 }, resolve)
      })
      return server
    }),
  )
}
