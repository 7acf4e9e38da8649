import { Buffer } from 'node:buffer'
import { createHmac, hash } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { AwsCredential } from '#model/credential'
import {
  canonicalHeaders,
  canonicalPath,
  canonicalQuery,
  canonicalRequest,
  canonicalValue,
  type CanonicalParts,
  type NameValue,
} from './canonical.ts'
import { unsignedPayload } from './payload.ts'
import { withoutQueryAuthentication } from './presigned.ts'
import { isS3 } from './service.ts'
import { signingKey } from './signing-key.ts'

export interface UnsignedRequest {
  readonly method: string
  /** The Host value that will be sent. */
  readonly host: string
  /** The path exactly as it will be sent. */
  readonly path: string
  /** The query as received, without its `?`. */
  readonly query: string
  /** Names in lower case; values as in `#wire/http1`, one character per byte. */
  readonly headers: readonly NameValue[]
  /** SHA-256 of the body in lower-case hexadecimal, or one of the words that SigV4 has in its place. */
  readonly payloadHash: string
}

export interface SigningScope {
  /** The signing name, such as `s3` or `bedrock`. */
  readonly service: string
  readonly region: string
}

export interface SignedRequest {
  /** To be added after `removeHeaders` were left out. */
  readonly headers: readonly NameValue[]
  /** Lower-case names of headers that must not be forwarded: what authenticated the request before. */
  readonly removeHeaders: readonly string[]
  /** The query to send: the one received without presigned authentication. */
  readonly query: string
}

/**
 * SECURITY: whatever could authenticate the request as somebody else. It is replaced as a whole, never mixed with
 * what we add. `date` stays: `x-amz-date` overrides it.
 */
export const authenticationHeaders: readonly string[] = Object.freeze([
  'authorization',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-region-set',
  'x-amz-s3session-token',
  'x-amz-security-token',
])

/** Services beside S3 that want the payload hash as a header. */
const wantsPayloadHeader = new Set(['aoss', 'glacier', 'vpc-lattice-svcs'])

/**
 * Signs with AWS Signature Version 4, replacing whatever authentication the request carried in headers or query.
 * Signed are host, content-type and every `x-amz-*`: nothing that a proxy on the way may rewrite.
 */
export function signSigV4(
  request: UnsignedRequest,
  credential: AwsCredential,
  scope: SigningScope,
  at: EpochMs,
): SignedRequest {
  const { payloadHash } = request
  const s3 = isS3(scope.service)
  // What we add is canonical already: running over a long session token once more would only cost.
  const added: NameValue[] = [{ name: 'x-amz-date', value: amzDate(at) }]
  const token = credential.sessionToken.revealText()
  if (token !== '') added.push({ name: 'x-amz-security-token', value: token })

  const toSign: NameValue[] = [{ name: 'host', value: request.host }]
  let declaredPayload = false
  for (const { name, value } of request.headers) {
    if (name === 'x-amz-content-sha256') declaredPayload = true
    const covered = name === 'content-type' || name.startsWith('x-amz-')
    if (covered && !authenticationHeaders.includes(name)) toSign.push({ name, value: canonicalValue(value) })
  }
  if (s3 || declaredPayload || payloadHash === unsignedPayload || wantsPayloadHeader.has(scope.service)) {
    added.push({ name: 'x-amz-content-sha256', value: payloadHash })
  }
  const query = withoutQueryAuthentication(request.query)
  const { authorization } = authorize(
    {
      method: request.method,
      path: canonicalPath(request.path, s3 ? 'as-key' : 'normalized'),
      query: canonicalQuery(query),
      headers: canonicalHeaders([...toSign, ...added]),
      payloadHash,
    },
    credential,
    scope,
    at,
  )
  added.push({ name: 'authorization', value: authorization })
  return { headers: added, removeHeaders: authenticationHeaders, query }
}

/** The Authorization value for canonical parts, with its intermediate texts ("Create a signed AWS API request"). */
export function authorize(
  parts: CanonicalParts,
  credential: AwsCredential,
  { region, service }: SigningScope,
  at: EpochMs,
): { authorization: string; canonicalRequest: string; stringToSign: string } {
  const timestamp = amzDate(at)
  const date = timestamp.slice(0, 8)
  const { text, signedHeaders } = canonicalRequest(parts)
  const credentialScope = `${date}/${region}/${service}/aws4_request`
  // Header values hold one character per byte: hashing the text as UTF-8 would sign other bytes than are sent.
  const digest = hash('sha256', Buffer.from(text, 'latin1'))
  const stringToSign = `AWS4-HMAC-SHA256\n${timestamp}\n${credentialScope}\n${digest}`
  const key = signingKey(credential, { date, region, service })
  const signature = createHmac('sha256', key).update(stringToSign).digest('hex')
  return {
    authorization: `AWS4-HMAC-SHA256 Credential=${credential.accessKeyId}/${credentialScope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    canonicalRequest: text,
    stringToSign,
  }
}

let stampedSecond = -1
let stamp = ''

/** `at` as `YYYYMMDDTHHMMSSZ`; the last second asked for is remembered. */
export function amzDate(at: EpochMs): string {
  const second = Math.floor(at / 1000)
  if (second !== stampedSecond) {
    stamp = `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
    stampedSecond = second
  }
  return stamp
}
