import type { FastifyPluginAsync } from 'fastify'
import type { LoginClient } from '#model/access'
import { defaultNamespace, githubLoginOf, oidcTrustOf, type OIDCClient } from '#model/resource'
import type { Logins } from '#server/login'
import type { ResourceCache } from '#server/store'

const defaultScopes = ['openid', 'email', 'profile', 'offline_access']

/** `GET /login`, for anyone: where to log in, before there is a token. It holds nothing secret. */
export function loginRoute({
  cache,
  logins,
}: {
  cache: Pick<ResourceCache, 'get' | 'list'>
  logins: Pick<Logins, 'placesOf'>
}): FastifyPluginAsync {
  function describe({ metadata, spec }: OIDCClient): LoginClient[] {
    const provider = cache.get('IdentityProvider', defaultNamespace, spec.identityProvider!)
    if (!provider) return []
    const client = { name: metadata.name, provider: provider.spec.name, clientID: spec.clientID! }
    const trust = oidcTrustOf(provider)
    if (trust) {
      const { issuer, caBundle } = trust
      const scopes = spec.scopes ?? defaultScopes
      return [{ ...client, issuer, scopes, ...(caBundle !== undefined && { caBundle }) }]
    }
    if (!githubLoginOf(provider)) return []
    const { issuer } = logins.placesOf(provider.metadata.name)
    return [{ ...client, issuer, scopes: ['openid'], ownIssuer: true }]
  }
  return async (app) => {
    app.get('/login', { config: { public: true } }, () => ({
      clients: cache.list('OIDCClient', defaultNamespace).flatMap(describe),
    }))
  }
}
