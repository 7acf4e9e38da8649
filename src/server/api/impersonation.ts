import type { FastifyRequest } from 'fastify'
import { isFault } from '#base/errors'
import { impersonationOf } from '#model/access'
import { auditedActor, type Access, type Principal } from '#server/access'
import type { AuditTrail } from '#server/audit'
import { badRequest } from './status.ts'

/**
 * As whom somebody makes a request: himself, or whom its `Impersonate-*` headers name.
 * SECURITY: headers that are not understood are refused; to pass them by would be to do as the administrator what he
 * asked to be done as somebody else.
 * @throws RequestRefusal 400; Fault API_FORBIDDEN, which is in the audit trail
 */
export async function actingAs(
  request: FastifyRequest,
  principal: Principal,
  { access, audit }: { access: Access; audit: Pick<AuditTrail, 'change'> },
): Promise<Principal> {
  const wish = impersonationOf(request.raw.headersDistinct)
  if (!wish) return principal
  if ('refused' in wish) throw badRequest(wish.refused)
  request.impersonation = wish
  try {
    return access.impersonate(principal, wish)
  } catch (error) {
    if (isFault(error, 'API_FORBIDDEN')) {
      request.isRecorded = true
      await audit.change({
        ...auditedActor(principal),
        verb: 'impersonate',
        object: `User/${wish.user}`.slice(0, 600),
        outcome: 'refused',
        message: error.publicText.slice(0, 2000),
      })
    }
    throw error
  }
}
