import type { GitHubLogin, IdentityProvider, OIDCClient } from '#model/resource'

/** A provider at which this server logs people in. */
export interface Brokered {
  readonly object: IdentityProvider
  readonly github: GitHubLogin
  readonly issuer: string
  readonly clients: readonly OIDCClient[]
}

/** What a provider is at present: a login counts for as long as that holds. */
export function versionOf({ metadata: { uid, generation } }: IdentityProvider): string {
  return `${uid}/${generation}`
}
