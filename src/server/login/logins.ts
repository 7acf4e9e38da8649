import { decodeJwt } from 'jose'
import type { FastifyPluginAsync } from 'fastify'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { defaultNamespace, githubLoginOf, olderNamesakeOf, type IdentityProvider } from '#model/resource'
import { isBeingDeleted, type ResourceCache, type Resources, type Store } from '#server/store'
import { versionOf, type Brokered } from './ports.ts'
import { openDeviceLogins } from './device-logins.ts'
import { openSpentCodes } from './spent-codes.ts'
import { loginPages } from './pages.ts'
import { openSignedClaims, type SigningKeys } from './signed-claims.ts'

export interface BrokeredUser {
  readonly provider: IdentityProvider
  readonly uid: string
  /** Without prefix. */
  readonly username: string
  readonly groups: readonly string[]
  readonly expiresAt: EpochMs
}

export interface Logins {
  readonly plugin: FastifyPluginAsync
  /** The issuer of the tokens for a provider's users, and where its OAuth application sends browsers back. */
  placesOf(name: string): { readonly issuer: string; readonly callback: string }
  /**
   * Whose an ID token of this server is; undefined for one of another issuer.
   * @throws what says why it is not accepted
   */
  authenticate(token: string): Promise<BrokeredUser | undefined>
}

/** `url`: where clients reach this server, without a slash at its end. */
export function openLogins({
  url,
  store,
  keys,
  cache,
  resources,
  clock,
  log,
}: {
  url: () => string
  store: Store
  keys: SigningKeys
  cache: Pick<ResourceCache, 'get' | 'list'>
  resources: Pick<Resources, 'secretData'>
  clock: Clock
  log: Log
}): Logins {
  const claims = openSignedClaims({ keys, clock })
  const placesOf = (name: string) => {
    const issuer = `${url()}/login/providers/${name}`
    return { issuer, callback: `${issuer}/callback` }
  }

  /** Looked up each time: a login begins, goes on and counts only while its provider is as it was. */
  function brokered(name: string): Brokered | undefined {
    const object = cache.get('IdentityProvider', defaultNamespace, name)
    const github = object && githubLoginOf(object)
    if (!object || !github || isBeingDeleted(object)) return undefined
    if (olderNamesakeOf(object, cache.list('IdentityProvider', defaultNamespace))) return undefined
    const clients = cache
      .list('OIDCClient', defaultNamespace)
      .filter((client) => client.spec.identityProvider === name && !isBeingDeleted(client))
    return { object, github, issuer: placesOf(name).issuer, clients }
  }

  return {
    placesOf,
    plugin: loginPages({
      brokered,
      claims,
      spent: openSpentCodes({ store, clock }),
      devices: openDeviceLogins({ store, clock }),
      clock,
      secretOf: async ({ clientSecretRef: { name, key } }) =>
        (await resources.secretData(defaultNamespace, name))?.get(key),
      log,
    }),
    async authenticate(token) {
      const { iss = '' } = decodeJwt(token)
      const name = iss.slice(iss.lastIndexOf('/') + 1)
      if (iss !== placesOf(name).issuer) return undefined
      const payload = await claims.open('id', iss, token)
      const provider = brokered(name)
      // SECURITY: whoever may log in may have changed with the provider; only who logs in again is known to be let in.
      if (!provider || payload['version'] !== versionOf(provider.object))
        throw new Fault('TOKEN_INVALID', `IdentityProvider ${name} has changed since the login`)
      if (!provider.clients.some(({ spec }) => spec.clientID === payload.aud))
        throw new Fault('TOKEN_INVALID', `the client of the login is no more`)
      return {
        provider: provider.object,
        uid: payload.sub!,
        username: payload['preferred_username'] as string,
        groups: payload['groups'] as string[],
        expiresAt: payload.exp! * 1000,
      }
    },
  }
}
