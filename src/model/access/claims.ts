import type { User } from './attributes.ts'
import { authenticatedGroup } from './policy.ts'

/** How claims of an ID token become a user. */
export interface ClaimMapping {
  readonly usernameClaim: string
  readonly usernamePrefix: string
  readonly groupsClaim?: string
  readonly groupsPrefix: string
  /** Claims that must have one of the values. */
  readonly requiredClaims: Readonly<Record<string, readonly string[]>>
}

export type ClaimedUser = { readonly user: User } | { readonly refused: string }

const reserved = 'system:'
// SECURITY: names are shown in terminals and logs, line by line.
const control = /[\p{Cc}\u2028\u2029]/u

/**
 * The user that the claims of a verified ID token name.
 * SECURITY: no provider can give a name or a group of the server's own (`system:`), whatever its prefixes are.
 */
export function userFromClaims(
  mapping: ClaimMapping,
  claims: Readonly<Record<string, unknown>>,
): ClaimedUser {
  const { usernameClaim, usernamePrefix, groupsClaim, groupsPrefix, requiredClaims } = mapping
  for (const [claim, values] of Object.entries(requiredClaims)) {
    const value = claims[claim]
    if (typeof value !== 'string' || !values.includes(value)) {
      return { refused: `its claim ${claim} is not ${values.join(' or ')}` }
    }
  }
  const claimed = claims[usernameClaim]
  if (typeof claimed !== 'string' || claimed === '') return { refused: `it has no claim ${usernameClaim}` }
  if (usernameClaim === 'email' && (claims['email_verified'] ?? true) !== true) {
    return { refused: 'its email address is not verified' }
  }
  const name = usernamePrefix + claimed
  if (name.startsWith(reserved))
    return { refused: `user names that begin with ${reserved} are the server's own` }
  if (control.test(name)) return { refused: 'its user name has control characters' }
  const listed = groupsClaim === undefined ? [] : [claims[groupsClaim] ?? []].flat()
  const groups = listed
    .filter((group): group is string => typeof group === 'string' && group !== '' && !control.test(group))
    .map((group) => groupsPrefix + group)
    .filter((group) => !group.startsWith(reserved))
  return { user: { name, groups: [...groups, authenticatedGroup] } }
}
