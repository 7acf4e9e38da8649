import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
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
import type { SeedSignature } from './body-signatures.ts'
import { isStreamingMode, unsignedPayload } from './payload.ts'
import { withoutQueryAuthentication } from './presigned.ts'
import { isS3 } from './service.ts'
import { signerFor, type Signer, type SigningScope } from './signer.ts'
import { amzDate } from './timestamp.ts'

export type { SigningScope }

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

export interface SignedRequest {
  /** To be added after `removeHeaders` were left out. */
  readonly headers: readonly NameValue[]
  /** Lower-case names of headers that must not be forwarded: what authenticated the request before. */
  readonly removeHeaders: readonly string[]
  /** The query to send: the one received without presigned authentication. */
  readonly query: string
  /** What the signatures within a streamed body start from. */
  readonly seed: SeedSignature
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
 * Signs with AWS Signature Version 4, or 4A where the scope has a set of regions, replacing whatever authentication
 * the request carried in headers or query. Signed are host, content-type and every `x-amz-*`: nothing that a proxy
 * on the way may rewrite.
 */
export function signSigV4(
  request: UnsignedRequest,
  credential: AwsCredential,
  scope: SigningScope,
  at: EpochMs,
): SignedRequest {
  const { payloadHash } = request
  const s3 = isS3(scope.service)
  const streaming = isStreamingMode(payloadHash)
  // What we add is canonical already: running over a long session token once more would only cost.
  const added: NameValue[] = [{ name: 'x-amz-date', value: amzDate(at) }]
  if (scope.regionSet !== undefined) added.push({ name: 'x-amz-region-set', value: scope.regionSet })
  const signer = signerFor(credential, scope, at)
  if (signer.tokenHeader) added.push(signer.tokenHeader)

  const toSign: NameValue[] = [{ name: 'host', value: request.host }]
  let declaredPayload = payloadHash === unsignedPayload || streaming
  for (const { name, value } of request.headers) {
    if (name === 'x-amz-content-sha256') declaredPayload = true
    if (isCovered(name, streaming)) toSign.push({ name, value: canonicalValue(value) })
  }
  if (s3 || declaredPayload || wantsPayloadHeader.has(scope.service)) {
    added.push({ name: 'x-amz-content-sha256', value: payloadHash })
  }
  const query = withoutQueryAuthentication(request.query, scope.service)
  const { authorization, signature } = authorize(
    {
      method: request.method,
      path: canonicalPath(request.path, s3 ? 'as-key' : 'normalized'),
      query: canonicalQuery(query),
      headers: canonicalHeaders(toSign.concat(added)),
      payloadHash,
    },
    credential,
    signer,
  )
  added.push({ name: 'authorization', value: authorization })
  return {
    headers: added,
    removeHeaders: authenticationHeaders,
    query,
    seed: { credential, scope, at, signature },
  }
}

/** The coding of a body that is framed for its signatures belongs to what they say. */
function isCovered(name: string, streaming: boolean): boolean {
  if (name.startsWith('x-amz-')) return !authenticationHeaders.includes(name)
  return name === 'content-type' || (streaming && name === 'content-encoding')
}

const scratch = Buffer.alloc(8 * 1024)

/** Header values hold one character per byte: hashing the text as UTF-8 would sign other bytes than are sent. */
function bytesOf(text: string): Buffer {
  // Filled and hashed in one go: nobody else sees it in between.
  if (text.length <= scratch.length) return scratch.subarray(0, scratch.write(text, 'latin1'))
  return Buffer.from(text, 'latin1')
}

/** The Authorization value for canonical parts, with its intermediate texts ("Create a signed AWS API request"). */
export function authorize(
  parts: CanonicalParts,
  { accessKeyId }: AwsCredential,
  signer: Signer,
): { authorization: string; signature: string; canonicalRequest: string; stringToSign: string } {
  const { algorithm, timestamp, credentialScope } = signer
  const { text, signedHeaders } = canonicalRequest(parts)
  const digest = hash('sha256', bytesOf(text))
  const stringToSign = `${algorithm}\n${timestamp}\n${credentialScope}\n${digest}`
  const signature = signer.sign(stringToSign)
  return {
    authorization: `${algorithm} Credential=${accessKeyId}/${credentialScope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    signature,
    canonicalRequest: text,
    stringToSign,
  }
}
