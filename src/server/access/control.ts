import type { FastifyPluginAsync } from 'fastify'
import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import type { AuditTrail } from '#server/audit'
import { openLogins } from '#server/login'
import type { ResourceCache, Resources, Store } from '#server/store'
import { openAccess } from './access.ts'
import { adminTokens } from './admin-token.ts'
import { openIdTokens } from './id-tokens.ts'
import { loginRoute } from './login-route.ts'
import { policyView } from './policy-view.ts'
import type { Access, AccountKeys } from './ports.ts'
import { brokeredTokens } from './brokered-tokens.ts'
import { openRoleAggregation } from './role-aggregation.ts'
import { openProviderStatus } from './provider-status.ts'
import { accessRoutes } from './routes.ts'
import { openServiceAccountTokens } from './service-account-tokens.ts'

/** Everything about access that a server runs. */
export interface AccessControl extends Disposable {
  readonly access: Access
  readonly plugins: readonly FastifyPluginAsync[]
  /** Keeps the states of identity providers true, and roles that gather others up to date: one server's duty. */
  run(options: { signal: AbortSignal; resources: Resources }): Promise<void>
}

/** `url`: where clients reach this server, without a slash at its end. */
export function openAccessControl({
  url,
  store,
  accountKeys,
  resources,
  cache,
  audit,
  clock,
  log,
}: {
  url: () => string
  store: Store
  accountKeys: AccountKeys
  resources: Resources
  cache: ResourceCache
  audit: Pick<AuditTrail, 'change'>
  clock: Clock
  log: Log
}): AccessControl {
  const policy = policyView(cache)
  const tokens = openServiceAccountTokens({ keys: accountKeys, resources, clock })
  const idTokens = openIdTokens({ cache, clock })
  const logins = openLogins({ url, store, keys: accountKeys, cache, resources, clock, log })
  const authenticators = [adminTokens(store), tokens, brokeredTokens(logins), idTokens]
  const access = openAccess({ authenticators, policy, cache, clock, log })
  return {
    access,
    plugins: [
      accessRoutes({ policy, access, resources, tokens, audit, clock }),
      loginRoute({ cache, logins }),
      logins.plugin,
    ],
    async run({ signal, resources }) {
      const written = { cache, resources, clock, log }
      await Promise.all([
        openProviderStatus({ ...written, idTokens, logins }).run({ signal }),
        openRoleAggregation(written).run({ signal }),
      ])
    },
    [Symbol.dispose]: () => access[Symbol.dispose](),
  }
}
