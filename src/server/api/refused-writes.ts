import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isPathRequest, type AccessRequest } from '#model/access'
import { kindAt } from '#model/resource'
import { auditedActor } from '#server/access'
import type { AuditTrail } from '#server/audit'
import { accessRequestOf } from './authorization.ts'
import { statusOf } from './status.ts'

const reads = new Set(['get', 'list', 'watch', 'head', 'options'])

/** What is asked for, as the trail names it: `Service/aws`, a path otherwise. */
function objectOf(asked: AccessRequest): string {
  if (isPathRequest(asked)) return asked.path
  const kind = kindAt(asked.group, asked.version, asked.resource)?.kind ?? asked.resource
  return [kind, asked.name, asked.subresource].filter((part) => part !== '').join('/')
}

function namespaceOf(asked: AccessRequest): string | undefined {
  return isPathRequest(asked) || asked.namespace === '' ? undefined : asked.namespace
}

/**
 * Records every write of somebody known that ended before anybody who writes could record it: one that he may not
 * make, of what is not there, or in a form that is not understood.
 */
export function recordRefusedWrites(app: FastifyInstance, audit: Pick<AuditTrail, 'change'>): void {
  app.addHook('onError', async (request: FastifyRequest, _reply, error) => {
    const { principal, isRecorded } = request
    if (!principal || isRecorded) return
    const asked = accessRequestOf(request)
    if (reads.has(asked.verb)) return
    const { code, message } = statusOf(error)
    // A flood is turned away so that it costs nothing: a record of each would undo that.
    if (code === 429) return
    const namespace = namespaceOf(asked)
    await audit.change({
      ...auditedActor(principal),
      verb: asked.verb,
      object: objectOf(asked).slice(0, 600),
      ...(namespace !== undefined && { namespace: namespace.slice(0, 253) }),
      outcome: code >= 500 ? 'failed' : 'refused',
      ...(message !== undefined && { message: message.slice(0, 2000) }),
    })
  })
}
