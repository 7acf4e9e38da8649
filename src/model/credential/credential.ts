import type { EpochMs } from '#base/clock'
import type { Secret } from '#base/secret'
import { valueCharacters } from '#wire/http1'

interface Lifetime {
  readonly issuedAt: EpochMs
  readonly expiresAt: EpochMs
}

/** Temporary credentials of AWS STS (AssumeRoleWithWebIdentity). The access key ID is not secret: audits name it. */
export interface AwsCredential extends Lifetime {
  readonly kind: 'aws'
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken: Secret
}

/** `Authorization: Bearer TOKEN` (RFC 6750 section 2.1). */
export interface BearerCredential extends Lifetime {
  readonly kind: 'bearer'
  readonly token: Secret
}

/** `Authorization: Basic ...` (RFC 7617). */
export interface BasicCredential extends Lifetime {
  readonly kind: 'basic'
  /** Without a colon. */
  readonly username: string
  readonly password: Secret
}

/** A header with a name of its own, such as `X-Api-Key`. */
export interface HeaderCredential extends Lifetime {
  readonly kind: 'header'
  /** As `isCredentialHeader` allows it, in the case in which it is sent. */
  readonly name: string
  readonly value: Secret
}

/** Switch on `kind` and treat an unknown one as unusable. */
export type Credential = AwsCredential | BearerCredential | BasicCredential | HeaderCredential

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/

/** What frames and routes a request, or ends at a hop. */
const reserved = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Whether a credential may be a header of this name: SECURITY: a header that frames or routes would be a weapon. */
export function isCredentialHeader(name: string): boolean {
  return token.test(name) && !reserved.has(name.toLowerCase())
}

/** Whether bytes can be the value of a header: none that would end it, none that would be trimmed. */
export function isHeaderValue(bytes: Uint8Array): boolean {
  const { length } = bytes
  if (length === 0 || bytes[0]! <= 0x20 || bytes[length - 1]! <= 0x20) return false
  return bytes.every((byte) => valueCharacters[byte] === 1)
}

/** What names a credential in audits, and is no secret. */
export function credentialId(credential: Credential): string {
  switch (credential.kind) {
    case 'aws':
      return credential.accessKeyId
    case 'bearer':
      return 'bearer token'
    case 'basic':
      return `user ${credential.username}`
    default:
      return `header ${credential.name}`
  }
}
