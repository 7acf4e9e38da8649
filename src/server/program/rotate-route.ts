import type { FastifyPluginAsync } from 'fastify'
import { definitionOf } from '#model/resource'
import { auditedActor } from '#server/access'
import type { AuditTrail } from '#server/audit'
import type { Reconciler } from '#server/reconcile'

/**
 * `POST .../credentialbindings/NAME/rotate`: exchanges the binding's credential now and answers when it is there,
 * with its public id; a refusal of the cloud is in `failure`, and the old credential goes on.
 */
export function rotateRoute(
  reconciler: Pick<Reconciler, 'rotate'>,
  audit: Pick<AuditTrail, 'change'>,
): FastifyPluginAsync {
  const { group, version, plural } = definitionOf('CredentialBinding')
  return async (app) => {
    app.post<{ Params: { namespace: string; name: string } }>(
      `/apis/${group}/${version}/namespaces/:namespace/${plural}/:name/rotate`,
      async (request) => {
        const { namespace, name } = request.params
        const { credential, failure } = await reconciler.rotate(namespace, name)
        await audit.change({
          ...auditedActor(request.principal!),
          verb: 'rotate',
          object: `CredentialBinding/${name}`,
          namespace,
          outcome: failure ? 'failed' : 'ok',
          ...(failure && { message: failure.reason }),
        })
        return {
          ...(credential && {
            id: credential.id,
            expiresAt: new Date(credential.expiresAt).toISOString(),
          }),
          ...(failure && { failure: { reason: failure.reason, message: failure.message } }),
        }
      },
    )
  }
}
