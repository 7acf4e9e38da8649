import type { GitHubLogin, IdentityProvider, OIDCClient } from '#model/resource'
import type { Identity } from './github.ts'

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

/** The client of this ID; undefined when nobody has registered it for this provider. */
export function clientOf({ clients }: Brokered, clientID: string): OIDCClient | undefined {
  return clients.find(({ spec }) => spec.clientID === clientID)
}

/** For whom a program is given an ID token. */
export interface Granted {
  readonly identity: Identity
  readonly clientID: string
  readonly nonce?: string | undefined
  /** Of the provider, when the login began. */
  readonly version: string
}

/** What a program gets that has a code: what was granted, or an error of OAuth 2.0. */
export type Redeemed = { readonly granted: Granted } | { readonly error: string }
