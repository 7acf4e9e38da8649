import type { KeyObject, X509Certificate } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'

/** A public key as the JWKS shows it (RFC 7517). It has no `key_ops`: some verifiers refuse it beside `use`. */
export interface PublicJwk {
  readonly kty: 'RSA'
  readonly use: 'sig'
  readonly alg: 'RS256'
  readonly kid: string
  readonly n: string
  readonly e: string
  readonly x5c: string[]
}

/** The key's JWK thumbprint (RFC 7638, SHA-256, base64url). */
export async function keyId(publicKey: KeyObject): Promise<string> {
  return calculateJwkThumbprint(publicKey.export({ format: 'jwk' }))
}

/** `certificate`: a self-signed certificate of the key, for verifiers such as Ceph that read nothing but `x5c`. */
export function publicJwk(kid: string, certificate: X509Certificate): PublicJwk {
  const { n, e } = certificate.publicKey.export({ format: 'jwk' })
  if (typeof n !== 'string' || typeof e !== 'string') throw new TypeError('RS256 needs an RSA key')
  // RFC 7517 section 4.7: standard base64, not base64url; Ceph crashes on anything else.
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e, x5c: [certificate.raw.toString('base64')] }
}
