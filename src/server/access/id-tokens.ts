import { decodeJwt } from 'jose'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { userFromClaims } from '#model/access'
import {
  defaultNamespace,
  oidcTrustOf,
  olderNamesakeOf,
  type IdentityProvider,
  type OidcTrust,
} from '#model/resource'
import { openHttpClient } from '#server/exchange'
import { isBeingDeleted, type ResourceCache } from '#server/store'
import { openIdTokenVerifier, type IdTokenVerifier } from './id-token-verifier.ts'
import type { Authenticator } from './ports.ts'

/** An IdentityProvider that is acted on. */
export interface Provider {
  readonly object: IdentityProvider
  readonly trust: OidcTrust
  readonly verifier: IdTokenVerifier
}

export interface IdTokens extends Authenticator {
  providers(): readonly Provider[]
  /** Calls `then` whenever a token meets with a provider that is away, until the function that is returned is called. */
  onUnreachable(then: () => void): () => void
}

/** Knows the users of the IdentityProviders that there are. */
export function openIdTokens({
  cache,
  clock,
}: {
  cache: Pick<ResourceCache, 'list'>
  clock: Clock
}): IdTokens {
  let known = new Map<string, Provider>()
  const listeners = new Set<() => void>()
  const onUnreachable = () => {
    for (const tell of listeners) tell()
  }

  /** Keys that were fetched are kept for as long as the specification stays as it is. */
  function providers(): Provider[] {
    const all = cache.list('IdentityProvider', defaultNamespace)
    const next = all.flatMap((object) => {
      // SECURITY: at once, whatever its finalizers wait for.
      if (isBeingDeleted(object) || olderNamesakeOf(object, all)) return []
      const key = `${object.metadata.uid}/${object.metadata.generation}`
      const before = known.get(key)
      if (before) return [[key, before] as const]
      const trust = oidcTrustOf(object)
      if (!trust) return []
      const http = openHttpClient({ extraCa: trust.caBundle === undefined ? [] : [trust.caBundle] })
      return [
        [
          key,
          { object, trust, verifier: openIdTokenVerifier(trust, { http, clock, onUnreachable }) },
        ] as const,
      ]
    })
    known = new Map(next)
    return [...known.values()]
  }

  return {
    providers,
    onUnreachable(then) {
      listeners.add(then)
      return () => void listeners.delete(then)
    },
    async authenticate(token) {
      const { iss } = decodeJwt(token)
      // SECURITY: the issuer that a token names only chooses whose keys must fit.
      const candidates = providers().filter(({ trust }) => trust.issuer === iss)
      const refusals: unknown[] = []
      for (const { object, trust, verifier } of candidates) {
        try {
          const payload = await verifier.verify(token)
          const claimed = userFromClaims(trust, payload)
          if ('refused' in claimed) throw new Fault('TOKEN_INVALID', claimed.refused)
          return {
            ...claimed.user,
            provider: `oidc:${object.metadata.name}`,
            expiresAt: payload.exp! * 1000,
          }
        } catch (error) {
          refusals.push(error)
        }
      }
      if (refusals.length > 0) throw refusals[0]
      return undefined
    },
  }
}
