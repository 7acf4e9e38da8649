import type { Credential } from '#model/credential'
import type { SpiffeId } from '#model/identity'

/**
 * How well the kernel tells who connected, from strongest to weakest: the very process, the group of processes
 * that one launcher started, or only the Unix user (security rule 12).
 */
export const captureLevels = ['process', 'workload', 'user'] as const
export type CaptureLevel = (typeof captureLevels)[number]

/** Whether a connection captured at `actual` may use what demands at least `minimum`. */
export function satisfiesCapture(actual: CaptureLevel, minimum: CaptureLevel): boolean {
  return captureLevels.indexOf(actual) <= captureLevels.indexOf(minimum)
}

/** Selector keys and the values that match them: keys are ANDed, values of one key are ORed. */
export type SelectorMap = Readonly<Record<string, readonly string[]>>

export interface ScopedIdentity {
  /** Name of the WorkloadIdentity object, for messages and audit. */
  readonly name: string
  readonly spiffeId: SpiffeId
  /** Alternatives: any one of them matches. */
  readonly selectors: readonly SelectorMap[]
  /** Captures every process, for identities whose selectors the kernel cannot filter (security rule 1). */
  readonly captureAll: boolean
  /** `spec.connection.tls.intercept`: without it TLS traffic is left alone. */
  readonly intercept: boolean
}

export interface ServiceAddress {
  /** A lower-case DNS name (a leading `*.` stands for one label) or an IP address. */
  readonly host: string
  /** Absent: any port for which interception makes sense (443 and 80). */
  readonly port?: number
}

export interface ScopedService {
  readonly name: string
  /** Addresses and their aliases, flattened. */
  readonly addresses: readonly ServiceAddress[]
  /** PEM of the CA that signs the real upstream, in place of the system roots. */
  readonly caBundlePem?: string
  /** SigV4 scope where the host name does not tell it. */
  readonly signing?: { readonly service?: string; readonly region?: string }
  /** A credential that is sent as it is (a token, a password) may go to other hosts without TLS. */
  readonly allowPlainText?: boolean
}

export interface ScopedBinding {
  readonly name: string
  readonly spiffeId: SpiffeId
  /** Name of the CredentialSource. */
  readonly sourceName: string
  /** Names of the Services whose requests are signed. */
  readonly serviceNames: readonly string[]
  readonly minimumCapture: CaptureLevel
  /** Security rule 15: sign calls that return credentials. */
  readonly allowCredentialIssuance: boolean
}

/** The current credential of one (identity, source); replaced by rotation without touching the binding. */
export interface ScopedCredential {
  readonly spiffeId: SpiffeId
  readonly sourceName: string
  readonly credential: Credential
}

/** Keys: object names, except credentials, which are keyed by `credentialKey`. */
export interface Scope {
  readonly identities: ReadonlyMap<string, ScopedIdentity>
  readonly services: ReadonlyMap<string, ScopedService>
  readonly bindings: ReadonlyMap<string, ScopedBinding>
  readonly credentials: ReadonlyMap<string, ScopedCredential>
}

/** Items of a scope, by their keys in it. */
export type ScopeKeys = Readonly<Record<keyof Scope, readonly string[]>>

export const emptyScope: Scope = Object.freeze({
  identities: new Map(),
  services: new Map(),
  bindings: new Map(),
  credentials: new Map(),
})

export function credentialKey(spiffeId: SpiffeId, sourceName: string): string {
  return `${sourceName} ${spiffeId}`
}

/** A change of a scope. With `reset` it replaces the whole; else it upserts, then removes the keys named. */
export interface ScopeUpdate {
  /** Grows with every update of one stream; acknowledged by number. */
  readonly revision: number
  readonly reset: boolean
  readonly upsert: {
    readonly identities: readonly ScopedIdentity[]
    readonly services: readonly ScopedService[]
    readonly bindings: readonly ScopedBinding[]
    readonly credentials: readonly ScopedCredential[]
  }
  readonly remove: ScopeKeys
}

function merged<T>(
  before: ReadonlyMap<string, T>,
  upserts: readonly T[],
  keyOf: (item: T) => string,
  removed: readonly string[],
): ReadonlyMap<string, T> {
  if (upserts.length === 0 && removed.length === 0) return before
  const after = new Map(before)
  for (const item of upserts) after.set(keyOf(item), item)
  for (const key of removed) after.delete(key)
  return after
}

/** The scope after `update`; `scope` itself is unchanged. */
export function applyScopeUpdate(scope: Scope, { reset, upsert, remove }: ScopeUpdate): Scope {
  const base = reset ? emptyScope : scope
  const byName = (item: { name: string }) => item.name
  return {
    identities: merged(base.identities, upsert.identities, byName, remove.identities),
    services: merged(base.services, upsert.services, byName, remove.services),
    bindings: merged(base.bindings, upsert.bindings, byName, remove.bindings),
    credentials: merged(
      base.credentials,
      upsert.credentials,
      (item) => credentialKey(item.spiffeId, item.sourceName),
      remove.credentials,
    ),
  }
}
