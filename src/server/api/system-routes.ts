import type { FastifyInstance } from 'fastify'
import type { Log } from '#base/log'
import { saysYes } from '#model/access'
import { auditedActor } from '#server/access'
import type { AuditTrail } from '#server/audit'
import type { KeyRotation } from '#server/issuer'
import { badRequest, statusOf } from './status.ts'
import { sendLines } from './watch.ts'

const maxAuditRecords = 10_000

/** What `tideway audit` and `tideway keys` ask for. */
export function systemRoutes(
  app: FastifyInstance,
  { audit, issuer, log, signal }: { audit: AuditTrail; issuer: KeyRotation; log: Log; signal: AbortSignal },
): void {
  app.get<{ Querystring: { limit?: string; follow?: string } }>('/audit', async (request, reply) => {
    const { limit = '100', follow } = request.query
    if (!/^\d{1,5}$/.test(limit) || Number(limit) > maxAuditRecords) {
      throw badRequest(`limit must be a number up to ${maxAuditRecords}`)
    }
    await sendLines(request, reply, {
      contentType: 'application/x-ndjson',
      lines: (signal) => audit.read({ limit: Number(limit), follow: saysYes(follow), signal }),
      onError: statusOf,
      signal,
      log,
    })
    return reply
  })

  app.get('/keys', () => ({ keys: issuer.keys() }))

  app.post('/keys/rotate', async (request, reply) => {
    const keys = await issuer.rotate()
    const actor = auditedActor(request.principal!)
    for (const { kid } of keys) {
      await audit.change({ ...actor, verb: 'rotate', object: `key/${kid}`, outcome: 'ok' })
    }
    return reply.code(201).send({ keys })
  })
}
