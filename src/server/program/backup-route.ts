import { Readable } from 'node:stream'
import type { FastifyPluginAsync } from 'fastify'
import type { Clock } from '#base/clock'
import { backupLines } from '#model/backup'
import { auditedActor } from '#server/access'
import type { AuditTrail } from '#server/audit'
import { readAll, runtimePrefix, type Store } from '#server/store'

/**
 * `GET /backup`: everything in the store as it is at one moment (`#model/backup`).
 * SECURITY: what is sealed in it stays sealed, but it is all there is: for the administrator only.
 */
export function backupRoute(
  store: Pick<Store, 'list'>,
  { audit, clock }: { audit: Pick<AuditTrail, 'change'>; clock: Clock },
): FastifyPluginAsync {
  return async (app) => {
    app.get('/backup', async (request, reply) => {
      const { items, revision } = await readAll(store, '', (entry) => entry)
      const actor = auditedActor(request.principal!)
      await audit.change({ ...actor, verb: 'backup', object: 'store', outcome: 'ok' })
      const kept = items.filter(({ key }) => !key.startsWith(runtimePrefix))
      const createdAt = new Date(clock.now()).toISOString()
      return reply
        .type('application/x-ndjson')
        .send(Readable.from(backupLines({ revision, createdAt }, kept)))
    })
  }
}
