import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Server, Socket } from 'node:net'
import type { Principal } from '#server/access'

/** Of those whose requests nobody has vouched for yet. */
const maxStrangers = 1_000
const maxConnections = 10_000

/** Times within which a connection must get so far, for `node:https`. */
export const connectionTimes = {
  handshakeTimeout: 10_000,
  headersTimeout: 15_000,
  connectionsCheckingInterval: 5_000,
}

// A TLS socket and the one below it have nothing else in common that can be seen.
const nameOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`

/**
 * Keeps the connections of strangers few: beyond the bound the one that came first goes, so that whoever opens many
 * closes his own, and one that comes with a token is let in. It counts among those of users from then on.
 */
export function boundConnections(app: FastifyInstance, max = maxStrangers): void {
  const server = app.server as Server
  server.maxConnections = maxConnections
  const strangers = new Map<string, Socket>()
  server.on('connection', (socket: Socket) => {
    const name = nameOf(socket)
    strangers.set(name, socket)
    socket.once('close', () => {
      if (strangers.get(name) === socket) strangers.delete(name)
    })
    if (strangers.size <= max) return
    const [[first, oldest]] = strangers as unknown as [[string, Socket]]
    strangers.delete(first)
    oldest.destroy()
  })
  app.addHook('onRequest', async (request) => {
    const { principal } = request as FastifyRequest & { readonly principal?: Principal }
    if (principal) strangers.delete(nameOf(request.raw.socket))
  })
}
