import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Server, Socket } from 'node:net'
import type { Log } from '#base/log'
import type { Principal } from '#server/access'
import { openStrangers } from '#server/connections'

/** Of those whose requests nobody has vouched for yet. */
const maxStrangers = 1_000
const maxConnections = 10_000
/** In which nothing leaves of what waits to be sent: somewhat longer until it is noticed. */
const defaultStalledMs = 30_000

/** Times within which a connection must get so far, for `node:https`. */
export const connectionTimes = {
  handshakeTimeout: 10_000,
  headersTimeout: 15_000,
  connectionsCheckingInterval: 5_000,
}

/** Whoever is gone without a word is noticed, and nothing on the way takes a quiet watch for unused. */
export const probes = { keepAlive: true, keepAliveInitialDelay: 30_000 }

/** Those of users are not counted, so that whoever comes with a token is let in and stays, whatever strangers do. */
export function boundConnections(app: FastifyInstance, max = maxStrangers): void {
  const server = app.server as Server
  server.maxConnections = maxConnections
  const strangers = openStrangers(max)
  server.on('connection', (socket: Socket) => strangers.enter(socket))
  app.addHook('onRequest', async (request) => {
    const { principal } = request as FastifyRequest & { readonly principal?: Principal }
    if (principal) strangers.leave(request.raw.socket)
  })
}

/**
 * Ends answers that nobody reads, which would otherwise be kept, with what is behind them, for as long as the client's
 * machine runs. Whoever watched comes back, as with Kubernetes' API servers, which cut watches that are too slow.
 */
export function endStalled(
  app: FastifyInstance,
  { log, stalledMs = defaultStalledMs }: { log: Log; stalledMs?: number | undefined },
): void {
  app.addHook('onRequest', async (request, { raw }) => {
    raw.setTimeout(stalledMs, () => {
      // A watch on which nothing happens has nothing waiting.
      if (raw.writableLength === 0) return
      log.info('api.reader.stalled', { url: request.routeOptions.url, principal: request.principal?.name })
      raw.destroy()
    })
  })
}
