import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import {
  forbiddenMessage,
  impersonated,
  impersonationRequests,
  isAllowed,
  type AccessPolicy,
  type AccessRequest,
} from '#model/access'
import type { ResourceCache } from '#server/store'
import type { Access, Authenticator, Credentials, Hold, Principal } from './ports.ts'

const maxTokenBytes = 16 * 1024
/** What no change of ours tells, such as a key that a provider took back, is found after this long. */
const recheckMs = 60_000
const leastRecheckMs = 500

const decisive = new Set([
  'Role',
  'ClusterRole',
  'RoleBinding',
  'ClusterRoleBinding',
  'ServiceAccount',
  'IdentityProvider',
  'OIDCClient',
])

/** Asks the authenticators in turn, and the policy. */
export function openAccess({
  authenticators,
  policy,
  cache,
  clock,
  log,
}: {
  authenticators: readonly Authenticator[]
  policy: AccessPolicy
  cache: Pick<ResourceCache, 'onChange'>
  clock: Clock
  log: Log
}): Access & Disposable {
  const changed = openBell()
  const subscriptions = new DisposableStack()
  subscriptions.defer(
    cache.onChange((events) => {
      if (events.some(({ object }) => decisive.has(object.kind))) changed.ring()
    }),
  )
  subscriptions.defer(clock.onJump(() => changed.ring()))

  async function authenticate(authorization: string | undefined): Promise<Principal | undefined> {
    const token = /^bearer +([\w.~+/=-]+) *$/i.exec(authorization ?? '')?.[1]
    if (token === undefined || token.length > maxTokenBytes) return undefined
    try {
      for (const authenticator of authenticators) {
        const principal = await authenticator.authenticate(token)
        if (principal) return principal
      }
    } catch (error) {
      // SECURITY: what was wrong with a token is for our log; its bearer learns only that it is not accepted.
      if (isFault(error, 'STORE_UNAVAILABLE')) throw error
      log.debug('access.token-refused', { reason: (error as Error).message })
    }
    return undefined
  }

  const allows: Access['allows'] = (user, request) => isAllowed(policy, user, request)

  const impersonate: Access['impersonate'] = (principal, wish) => {
    for (const request of impersonationRequests(wish)) {
      if (allows(principal, request)) continue
      const message = forbiddenMessage(principal, request)
      throw new Fault('API_FORBIDDEN', message, { publicText: message })
    }
    const { provider, expiresAt } = principal
    const known = { provider, ...(expiresAt !== undefined && { expiresAt }) }
    return { ...impersonated(wish), ...known, impersonator: principal }
  }

  async function stillHolds(
    { authorization, impersonation }: Credentials,
    request: AccessRequest,
  ): Promise<Principal | undefined> {
    const bearer = await authenticate(authorization)
    const principal = bearer && impersonation ? impersonate(bearer, impersonation) : bearer
    return principal && allows(principal, request) ? principal : undefined
  }

  function hold(credentials: Credentials, request: AccessRequest): Hold {
    const over = new AbortController()
    const { signal } = over
    const watchOver = async () => {
      while (!signal.aborted) {
        const { rings } = changed
        const principal = await stillHolds(credentials, request).catch(() => undefined)
        if (!principal) return over.abort()
        // A token may be taken for a moment longer than it says.
        const leftMs = Math.max(leastRecheckMs, (principal.expiresAt ?? Infinity) - clock.now())
        await afterAtMost(changed, rings, { ms: Math.min(recheckMs, leftMs), clock, signal })
      }
    }
    void watchOver()
    return { signal, [Symbol.dispose]: () => over.abort() }
  }

  return {
    authenticate,
    impersonate,
    allows,
    hold,
    [Symbol.dispose]: () => subscriptions.dispose(),
  }
}
