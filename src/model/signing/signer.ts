import { Buffer } from 'node:buffer'
import { sign } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { AwsCredential } from '#model/credential'
import { prepareHeader, type HeaderField } from '#wire/http1'
import { ecdsaKey } from './ecdsa-key.ts'
import { signingKey } from './signing-key.ts'
import { amzDate } from './timestamp.ts'

export interface SigningScope {
  /** The signing name, such as `s3` or `bedrock`. */
  readonly service: string
  readonly region: string
  /** Signs with Signature Version 4A, for these regions: names and patterns (`*`) joined by commas. */
  readonly regionSet?: string
}

/** One algorithm with its key for a day and scope. */
export interface Signer {
  readonly algorithm: 'AWS4-HMAC-SHA256' | 'AWS4-ECDSA-P256-SHA256'
  /** `YYYYMMDDTHHMMSSZ` */
  readonly timestamp: string
  readonly credentialScope: string
  /** Undefined where the credential has no session token. */
  readonly tokenHeader: HeaderField | undefined
  /** The signature in lower-case hexadecimal: 64 characters, of SigV4A up to 144. */
  sign(stringToSign: string): string
}

interface LastSigner {
  readonly scope: SigningScope
  readonly signer: Signer
}

/** Requests come many to a second, and mostly for one service. Kept as long as the credential object. */
const lastSigners = new WeakMap<AwsCredential, LastSigner>()

/** A signer for the second of `at` (AWS, "Create a signed AWS API request"). */
export function signerFor(credential: AwsCredential, scope: SigningScope, at: EpochMs): Signer {
  const last = lastSigners.get(credential)
  if (last && last.signer.timestamp === amzDate(at) && isSameScope(last.scope, scope)) return last.signer
  const signer = makeSigner(credential, scope, at)
  lastSigners.set(credential, { scope, signer })
  return signer
}

function isSameScope(one: SigningScope, other: SigningScope): boolean {
  return one.service === other.service && one.region === other.region && one.regionSet === other.regionSet
}

function makeSigner(
  credential: AwsCredential,
  { service, region, regionSet }: SigningScope,
  at: EpochMs,
): Signer {
  const timestamp = amzDate(at)
  const date = timestamp.slice(0, 8)
  const token = credential.sessionToken.revealText()
  const tokenHeader = token === '' ? undefined : prepareHeader('x-amz-security-token', token)
  if (regionSet !== undefined) {
    const key = ecdsaKey(credential)
    return {
      algorithm: 'AWS4-ECDSA-P256-SHA256',
      timestamp,
      tokenHeader,
      credentialScope: `${date}/${service}/aws4_request`,
      sign: (stringToSign) => sign('sha256', Buffer.from(stringToSign), key).toString('hex'),
    }
  }
  const key = signingKey(credential, { date, region, service })
  return {
    algorithm: 'AWS4-HMAC-SHA256',
    timestamp,
    tokenHeader,
    credentialScope: `${date}/${region}/${service}/aws4_request`,
    sign: (stringToSign) => key.sign(stringToSign),
  }
}
