import { Secret } from '#base/secret'
import type { Credential } from '#model/credential'
import type { ScopedCredential, ScopeUpdate } from '#model/scope'

type Laid<T> = T extends Credential
  ? { readonly [Key in keyof T]: T[Key] extends Secret ? Uint8Array : T[Key] }
  : never
type LaidCredential = Omit<ScopedCredential, 'credential'> & { readonly credential: Laid<Credential> }

/** A change of the scope as the channel to a worker carries it: plain values, with secrets as bytes. */
export type ScopeMessage = Omit<ScopeUpdate, 'upsert'> & {
  readonly upsert: Omit<ScopeUpdate['upsert'], 'credentials'> & {
    readonly credentials: readonly LaidCredential[]
  }
}

/** Secrets leave their wrapper here: the message must go nowhere but to a worker. */
export function toScopeMessage({ upsert, ...rest }: ScopeUpdate): ScopeMessage {
  const credentials = upsert.credentials.map(({ credential, ...whose }) => ({
    ...whose,
    credential: withEach(credential, (value) =>
      value instanceof Secret ? value.reveal() : value,
    ) as Laid<Credential>,
  }))
  return { ...rest, upsert: { ...upsert, credentials } }
}

export function fromScopeMessage({ upsert, ...rest }: ScopeMessage): ScopeUpdate {
  const credentials = upsert.credentials.map(({ credential, ...whose }) => ({
    ...whose,
    credential: withEach(credential, (value) =>
      value instanceof Uint8Array ? Secret.of(value) : value,
    ) as Credential,
  }))
  return { ...rest, upsert: { ...upsert, credentials } }
}

function withEach(fields: object, change: (value: unknown) => unknown): unknown {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, change(value)]))
}
