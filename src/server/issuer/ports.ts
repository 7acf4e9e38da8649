import type { X509Certificate } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { SpiffeId } from '#model/identity'
import type { StoreCompare } from '#server/store'

/** One signing key as `tideway keys` shows it. */
export interface IssuerKeyInfo {
  readonly kid: string
  /** Tokens for clouds, or those of service accounts for this API. */
  readonly signs: 'workload tokens' | 'service account tokens'
  readonly state: 'published' | 'active' | 'retiring'
  readonly createdAt: EpochMs
  /** When it starts to sign (published) or stopped to (retiring). */
  readonly since: EpochMs
  /** Retiring keys: when the last token signed by it has expired and it is forgotten. */
  readonly removeAt?: EpochMs
}

/** All keys that tokens are signed with. */
export interface KeyRotation {
  keys(): readonly IssuerKeyInfo[]
  /** Publishes new keys that become active after their publication time; returns them. */
  rotate(): Promise<readonly IssuerKeyInfo[]>
}

/** The OIDC issuer: mints federation tokens (design section 2: the one JWT profile) and publishes its keys. */
export interface TokenIssuer {
  /** Issuer identifier: the `iss` claim and base of the discovery URL, without trailing slash. */
  readonly url: string
  /** Mints a JWT-SVID. `claims` may not hold registered claims (security rule 18). */
  mint(request: {
    subject: SpiffeId
    audience: string
    ttlSeconds: number
    claims?: Readonly<Record<string, unknown>>
  }): Promise<string>
  /** The discovery document and the JWKS, as served and as published by `tideway oidc publish`. */
  discovery(): Record<string, unknown>
  jwks(): { keys: readonly Record<string, unknown>[] }
  keys(): readonly IssuerKeyInfo[]
  /** Publishes a new key that becomes active after its publication time; returns the new key. */
  rotate(): Promise<IssuerKeyInfo>
}

/** The SPIFFE CA and the intercept roots. */
export interface CertificateAuthority {
  /** Roots of the trust domain. */
  bundle(): readonly X509Certificate[]
  /** An X.509-SVID for the key of a PKCS#10 request, whose own names are ignored. */
  issueSvid(request: {
    spiffeId: SpiffeId
    csrDer: Uint8Array
    ttlSeconds: number
    dnsNames?: readonly string[]
  }): Promise<{ chain: readonly X509Certificate[]; notAfter: EpochMs }>
  /** The intercept root of one daemon, created on first use, stable over restarts. */
  interceptRoot(daemonName: string): Promise<X509Certificate>
  /** An intermediate under it, at most 24 h, name-constrained to exactly `hosts` (security rule 17). */
  issueIntermediate(request: {
    daemonName: string
    csrDer: Uint8Array
    hosts: readonly string[]
  }): Promise<{ chain: readonly X509Certificate[]; notAfter: EpochMs }>
  /** Removes it, unless `held` holds no more. */
  removeInterceptRoot(daemonName: string, held: StoreCompare): Promise<void>
}
