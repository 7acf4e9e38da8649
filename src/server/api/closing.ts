import type { FastifyInstance } from 'fastify'
import type { ServerResponse } from 'node:http'
import { isStream } from './in-flight.ts'

/** In which clients must have sent and read what is left when the server stops. */
const longestWaitMs = 10_000

/**
 * Answers what was asked before the server stops, so that whoever writes learns what became of it, and tells those
 * clients to ask elsewhere. Watches and the like end at once: their clients come back.
 */
export function answerBeforeClosing(app: FastifyInstance, waitMs = longestWaitMs): void {
  const answering = new Set<ServerResponse>()
  let isClosing = false
  let onAnswered = () => {}
  app.addHook('onRequest', async (request, { raw }) => {
    if (isStream(request)) return
    answering.add(raw)
    raw.once('close', () => {
      answering.delete(raw)
      if (answering.size === 0) onAnswered()
    })
  })
  app.addHook('onSend', async (_request, reply) => {
    if (isClosing) void reply.header('connection', 'close')
  })
  app.addHook('preClose', async () => {
    isClosing = true
    // Takes no more connections; those at rest are closed.
    app.server.close()
    if (answering.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    onAnswered = resolve
    const timer = setTimeout(resolve, waitMs)
    await promise
    clearTimeout(timer)
  })
}
