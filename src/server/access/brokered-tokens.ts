import { Fault } from '#base/errors'
import { userFromClaims } from '#model/access'
import { namePrefixesOf } from '#model/resource'
import type { Logins } from '#server/login'
import type { Authenticator } from './ports.ts'

/** Knows those whom this server itself has logged in. */
export function brokeredTokens(logins: Pick<Logins, 'authenticate'>): Authenticator {
  return {
    async authenticate(token) {
      const known = await logins.authenticate(token)
      if (!known) return undefined
      const { provider, uid, username, groups, expiresAt } = known
      const mapping = {
        ...namePrefixesOf(provider)!,
        usernameClaim: 'username',
        groupsClaim: 'groups',
        requiredClaims: {},
      }
      const claimed = userFromClaims(mapping, { username, groups })
      if ('refused' in claimed) throw new Fault('TOKEN_INVALID', claimed.refused)
      return { ...claimed.user, uid, provider: `github:${provider.metadata.name}`, expiresAt }
    },
  }
}
