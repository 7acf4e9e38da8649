import { Buffer } from 'node:buffer'
import { createHmac, sign } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { AwsCredential } from '#model/credential'
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
  /** The signature in lower-case hexadecimal: 64 characters, of SigV4A up to 144. */
  sign(stringToSign: string): string
}

/** A signer for the day of `at` (AWS, "Create a signed AWS API request"). */
export function signerFor(
  credential: AwsCredential,
  { service, region, regionSet }: SigningScope,
  at: EpochMs,
): Signer {
  const timestamp = amzDate(at)
  const date = timestamp.slice(0, 8)
  if (regionSet !== undefined) {
    const key = ecdsaKey(credential)
    return {
      algorithm: 'AWS4-ECDSA-P256-SHA256',
      timestamp,
      credentialScope: `${date}/${service}/aws4_request`,
      sign: (stringToSign) => sign('sha256', Buffer.from(stringToSign), key).toString('hex'),
    }
  }
  const key = signingKey(credential, { date, region, service })
  return {
    algorithm: 'AWS4-HMAC-SHA256',
    timestamp,
    credentialScope: `${date}/${region}/${service}/aws4_request`,
    sign: (stringToSign) => createHmac('sha256', key).update(stringToSign).digest('hex'),
  }
}
