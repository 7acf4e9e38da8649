import type { FastifyPluginAsync } from 'fastify'
import { defaultNamespace, oidcTrustOf, type OIDCClient } from '#model/resource'
import type { ResourceCache } from '#server/store'

/** How the command line logs somebody in: what a login page would tell anyone who looks at it. */
export interface LoginClient {
  /** Name of the OIDCClient. */
  readonly name: string
  /** Name that people know the provider by. */
  readonly provider: string
  readonly issuer: string
  readonly clientID: string
  readonly scopes: readonly string[]
  /** PEM of the CAs of the issuer, beside the public ones. */
  readonly caBundle?: string
}

const defaultScopes = ['openid', 'email', 'profile', 'offline_access']

/** `GET /login`, for anyone: where to log in, before there is a token. It holds nothing secret. */
export function loginRoute(cache: Pick<ResourceCache, 'get' | 'list'>): FastifyPluginAsync {
  function describe({ metadata, spec }: OIDCClient): LoginClient[] {
    const provider = cache.get('IdentityProvider', defaultNamespace, spec.identityProvider!)
    const trust = provider && oidcTrustOf(provider)
    if (!provider || !trust) return []
    const { issuer, caBundle } = trust
    return [
      {
        name: metadata.name,
        provider: provider.spec.name,
        issuer,
        clientID: spec.clientID!,
        scopes: spec.scopes ?? defaultScopes,
        ...(caBundle !== undefined && { caBundle }),
      },
    ]
  }
  return async (app) => {
    app.get('/login', { config: { public: true } }, () => ({
      clients: cache.list('OIDCClient', defaultNamespace).flatMap(describe),
    }))
  }
}
