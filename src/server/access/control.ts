import type { FastifyPluginAsync } from 'fastify'
import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import type { AuditTrail } from '#server/audit'
import type { Custody } from '#server/keys'
import type { ResourceCache, Resources, Store } from '#server/store'
import { openAccess } from './access.ts'
import { adminTokens } from './admin-token.ts'
import { openIdTokens } from './id-tokens.ts'
import { loginRoute } from './login-route.ts'
import { policyView } from './policy-view.ts'
import type { Access } from './ports.ts'
import { openRoleAggregation } from './role-aggregation.ts'
import { openProviderStatus } from './provider-status.ts'
import { accessRoutes } from './routes.ts'
import { openServiceAccountTokens } from './service-account-tokens.ts'

/** Everything about access that a server runs. */
export interface AccessControl extends Disposable {
  readonly access: Access
  readonly plugins: readonly FastifyPluginAsync[]
  /** Keeps the states of identity providers true, and roles that gather others up to date. */
  run(options: { signal: AbortSignal }): Promise<void>
}

export async function openAccessControl({
  store,
  custody,
  resources,
  cache,
  audit,
  clock,
  log,
}: {
  store: Store
  custody: Pick<Custody, 'privateKey'>
  resources: Resources
  cache: ResourceCache
  audit: Pick<AuditTrail, 'change'>
  clock: Clock
  log: Log
}): Promise<AccessControl> {
  const policy = policyView(cache)
  const tokens = await openServiceAccountTokens({ custody, resources, clock })
  const idTokens = openIdTokens({ cache, clock })
  const authenticators = [adminTokens(store), tokens, idTokens]
  const access = openAccess({ authenticators, policy, cache, clock, log })
  const status = openProviderStatus({ idTokens, cache, resources, clock, log })
  const aggregation = openRoleAggregation({ cache, resources, log })
  return {
    access,
    plugins: [accessRoutes({ policy, access, resources, tokens, audit, clock }), loginRoute(cache)],
    async run(options) {
      await Promise.all([status.run(options), aggregation.run(options)])
    },
    [Symbol.dispose]: () => access[Symbol.dispose](),
  }
}
