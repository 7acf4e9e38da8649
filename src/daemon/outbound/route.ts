import { isDeepStrictEqual } from 'node:util'
import type { ConnectionOrigin } from '#daemon/capture'
import type { Grant, Policy } from '#model/policy'
import type { SigningScope } from '#model/signing'
import type { Scope, ScopedIdentity } from '#model/scope'

/** One intercepted connection: whose it is and which host it is held to. */
export interface Route {
  readonly origin: ConnectionOrigin
  readonly identity: ScopedIdentity
  readonly executable: string
  /** The name or IP address that upstream has to prove, in lower case. */
  readonly host: string
  readonly port: number
  readonly tls: boolean
  /** What the host name implies for the signature; undefined where it does not tell. */
  readonly implied: SigningScope | undefined
}

/** What the policy is asked about a route. */
export function queryOf({ origin, identity, host, port, tls }: Route) {
  return { identity, level: origin.level, host, port, tls }
}

/**
 * Why `grant` no longer covers `route` under a new scope; undefined while it does. A replaced credential does not
 * count, a withdrawn one does.
 */
export function revocation(route: Route, grant: Grant, scope: Scope, policy: Policy): string | undefined {
  const identity = scope.identities.get(route.identity.name)
  if (identity?.spiffeId !== route.identity.spiffeId) return `identity ${route.identity.name} is gone`
  const now = policy.decide({ ...queryOf(route), identity })
  if (now.action === 'refuse') return now.reason
  if (now.action === 'splice') return `binding ${grant.binding.name} is gone`
  if (!isDeepStrictEqual(now.binding, grant.binding)) return `binding ${grant.binding.name} was changed`
  if (now.service.caBundlePem !== grant.service.caBundlePem)
    return `the CA of ${now.service.name} was changed`
  if (grant.credential && !now.credential)
    return `the credential of ${grant.binding.sourceName} was withdrawn`
  return undefined
}
