import { timingSafeEqual, verify } from 'node:crypto'
import { Sha256 } from '@aws-crypto/sha256-js'
import { HttpRequest } from '@smithy/protocol-http'
import { createScope, getCanonicalHeaders, SignatureV4 } from '@smithy/signature-v4'
import type { Secret } from '#base/secret'
import type { SignatureClaim } from './claim.ts'
import { ecdsaPublicKey } from './ecdsa.ts'
import { headerValue, parseQuery, splitTarget, type WireRequest } from './wire-request.ts'

/** How the canonical path is made: `s3` takes the decoded key as it is; everyone else normalises and encodes twice. */
export type PathRule = 's3' | 'normalized'

export interface Recomputed {
  readonly matches: boolean
  /** For the error text: AWS shows both when a signature does not match. */
  readonly canonicalRequest: string
  readonly stringToSign: string
  /** Judges a further signature under the same key and scope: chunks and trailers continue the chain. */
  accepts(stringToSign: string, signature: string): Promise<boolean>
}

/** The AWS SDK's own signer, opened where a verifier needs it: between canonical request and signature. */
class Recomputer extends SignatureV4 {
  async recompute(
    request: HttpRequest,
    { claim, payloadHash }: { claim: SignatureClaim; payloadHash: string },
  ): Promise<{ canonicalRequest: string; stringToSign: string }> {
    const headers = getCanonicalHeaders(request, undefined, new Set(claim.signedHeaders))
    const canonicalRequest = this.createCanonicalRequest(request, headers, payloadHash)
    const signingDate = new Date(claim.at)
    const { longDate } = this.formatDate(signingDate)
    const { date, region, service } = claim.scope
    const scope =
      claim.algorithm === 'AWS4-HMAC-SHA256'
        ? createScope(date, region, service)
        : `${date}/${service}/aws4_request`
    const stringToSign = await this.createStringToSign(longDate, scope, canonicalRequest, claim.algorithm)
    return { canonicalRequest, stringToSign }
  }
}

/**
 * Recomputes the signature that `claim` should have and compares in constant time.
 * The claim's own scope is used: whether it is the right scope is the caller's question.
 * @throws URIError when path or query hold an invalid percent escape
 */
export async function recompute(
  request: WireRequest,
  options: { claim: SignatureClaim; secretAccessKey: Secret; payloadHash: string; pathRule: PathRule },
): Promise<Recomputed> {
  const { claim, pathRule, payloadHash } = options
  const signer = new Recomputer({
    credentials: { accessKeyId: claim.accessKeyId, secretAccessKey: options.secretAccessKey.revealText() },
    region: claim.scope.region,
    service: claim.scope.service,
    sha256: Sha256,
    uriEscapePath: pathRule === 'normalized',
  })
  const { path, query } = splitTarget(request.target)
  const headers: Record<string, string> = {}
  for (const name of claim.signedHeaders) {
    const value = headerValue(request, name)
    if (value !== undefined) headers[name] = value
  }
  const { canonicalRequest, stringToSign } = await signer.recompute(
    new HttpRequest({
      method: request.method,
      path: pathRule === 's3' ? reencodePath(path) : path,
      query: Object.fromEntries(parseQuery(query)),
      headers,
    }),
    { claim, payloadHash },
  )
  const accepts = acceptance(signer, claim, options.secretAccessKey)
  return { matches: await accepts(stringToSign, claim.signature), canonicalRequest, stringToSign, accepts }
}

function acceptance(signer: Recomputer, claim: SignatureClaim, secret: Secret): Recomputed['accepts'] {
  if (claim.algorithm === 'AWS4-HMAC-SHA256') {
    const signingDate = new Date(claim.at)
    return async (text, signature) => sameText(await signer.sign(text, { signingDate }), signature)
  }
  const key = ecdsaPublicKey(claim.accessKeyId, secret)
  return async (text, signature) => verify('sha256', Buffer.from(text), key, Buffer.from(signature, 'hex'))
}

/** Constant-time comparison of two texts that are not secret in length. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}

/** `%2F` becomes a slash of the key, which S3 does not encode: it signs the key, however its path was written. */
function reencodePath(path: string): string {
  return decodeURIComponent(path).split('/').map(encodeRfc3986).join('/')
}

/** Percent-encodes everything but RFC 3986's unreserved characters. */
export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
