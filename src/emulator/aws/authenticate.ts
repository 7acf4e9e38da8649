import type { EpochMs } from '#base/clock'
import { Secret } from '#base/secret'
import {
  decodeAwsChunked,
  headerValue,
  parseQuery,
  recompute,
  sha256,
  splitTarget,
  streamingModes,
  type Recomputed,
  type SignatureClaim,
  type StreamingMode,
  type WireRequest,
} from '#emulator/sigv4'
import { authRefusal, type AuthFailure } from './auth-refusals.ts'
import { AwsError } from './aws-error.ts'
import type { AccessKey, AccessKeys } from './credentials.ts'
import { matchesGlob } from './glob.ts'
import { signingName, type Route } from './route.ts'

const minute = 60_000
/** AWS allows five minutes, S3 fifteen. */
const skewMs = (route: Route) => (route.service === 's3' ? 15 : 5) * minute

export interface Authenticated {
  readonly key: AccessKey
  /** Without the framing of aws-chunked. */
  readonly body: Buffer
  readonly trailers: ReadonlyMap<string, string>
}

/**
 * Verifies who sent a request and that nothing signed was changed: key, session token, scope, time, payload hash,
 * signature, and for aws-chunked bodies every chunk.
 * @throws AwsError in the service's own words
 */
export async function authenticate(options: {
  request: WireRequest
  body: Buffer
  route: Route
  claim: SignatureClaim
  keys: AccessKeys
  at: EpochMs
}): Promise<Authenticated> {
  const { request, body, route, claim, keys, at } = options
  const refuse = (failure: AuthFailure, detail?: string, details?: Record<string, string>) =>
    authRefusal(route.service, failure, detail, details)

  const key = keys.find(claim.accessKeyId)
  if (!key) throw refuse('unknown-key', undefined, { AWSAccessKeyId: claim.accessKeyId })
  const token = claim.sessionToken === undefined ? undefined : Secret.of(claim.sessionToken)
  if (key.sessionToken ? !token || !key.sessionToken.equals(token) : token) throw refuse('invalid-token')
  if (key.expiresAt !== undefined && key.expiresAt <= at) throw refuse('expired-token')

  checkScope(route, claim, refuse)
  checkTime(route, claim, at, refuse)
  checkSignedHeaders(request, claim, refuse)

  const declared =
    headerValue(request, 'x-amz-content-sha256') ??
    parseQuery(splitTarget(request.target).query).get('X-Amz-Content-Sha256')?.[0]
  const payloadHash = route.service === 's3' ? s3PayloadHash(declared, claim, body, refuse) : sha256(body)
  const seed = await recompute(request, {
    claim,
    secretAccessKey: key.secret,
    payloadHash,
    pathRule: route.service === 's3' ? 's3' : 'normalized',
  })
  if (!seed.matches) throw mismatch(seed, claim, refuse)
  if (!isStreaming(payloadHash)) return { key, body, trailers: new Map() }
  return { key, ...(await decodeBody({ request, body, mode: payloadHash, claim, seed }, refuse)) }
}

type Refuse = (failure: AuthFailure, detail?: string, details?: Record<string, string>) => AwsError

/** Whether a scope covers a region: of SigV4A it is a set of names and patterns. */
function covers({ algorithm, scope }: SignatureClaim, region: string): boolean {
  if (algorithm === 'AWS4-HMAC-SHA256') return scope.region === region
  return scope.region.split(',').some((pattern) => matchesGlob(pattern.trim(), region))
}

function checkScope(route: Route, claim: SignatureClaim, refuse: Refuse): void {
  const { scope, at } = claim
  if (scope.service !== signingName(route.service)) {
    throw refuse(
      'wrong-service',
      `Credential should be scoped to correct service: '${signingName(route.service)}'.`,
    )
  }
  if (!covers(claim, route.region)) {
    const s3Text = `the region '${scope.region}' is wrong; expecting '${route.region}'`
    throw refuse(
      'wrong-region',
      route.service === 's3' ? s3Text : 'Credential should be scoped to a valid region.',
      {
        Region: route.region,
      },
    )
  }
  if (scope.date !== longDate(at).slice(0, 8)) {
    throw refuse(
      'malformed',
      'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date',
    )
  }
}

function checkTime(route: Route, claim: SignatureClaim, at: EpochMs, refuse: Refuse): void {
  const skew = skewMs(route)
  const minutes = skew / minute
  if (claim.at > at + skew) {
    throw refuse(
      'skewed',
      `Signature not yet current: ${longDate(claim.at)} is still later than ${longDate(at + skew)} ` +
        `(${longDate(at)} + ${minutes} min.)`,
    )
  }
  const lifeMs = claim.expiresSeconds === undefined ? skew : claim.expiresSeconds * 1000
  if (claim.at + lifeMs >= at) return
  throw refuse(
    claim.form === 'query' ? 'expired-url' : 'skewed',
    `Signature expired: ${longDate(claim.at)} is now earlier than ${longDate(at - lifeMs)} ` +
      `(${longDate(at)} - ${lifeMs / minute} min.)`,
  )
}

/** What must be covered: the host, and every x-amz header, else someone on the way could change or add one. */
function checkSignedHeaders(request: WireRequest, claim: SignatureClaim, refuse: Refuse): void {
  const signed = new Set(claim.signedHeaders)
  const required = request.headers.map(([name]) => name).filter((name) => name.startsWith('x-amz-'))
  const host = signed.has(':authority') ? [] : ['host']
  const missing = [...host, ...required].find((name) => !signed.has(name))
  if (missing === undefined) return
  throw refuse('unsigned-header', `'${missing}' must be a 'SignedHeader' in the AWS Signature.`, {
    HeadersNotSigned: missing,
  })
}

function s3PayloadHash(
  declared: string | undefined,
  claim: SignatureClaim,
  body: Buffer,
  refuse: Refuse,
): string {
  if (declared === undefined && claim.form === 'query') return 'UNSIGNED-PAYLOAD'
  if (declared === undefined) {
    throw new AwsError(
      400,
      'InvalidRequest',
      'Missing required header for this request: x-amz-content-sha256',
    )
  }
  if (declared === 'UNSIGNED-PAYLOAD' || isStreaming(declared)) return declared
  if (!/^[0-9a-f]{64}$/.test(declared)) {
    throw new AwsError(
      400,
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a supported STREAMING- value, or a valid sha256 value.',
    )
  }
  const actual = sha256(body)
  if (actual === declared) return declared
  throw refuse('payload-mismatch', undefined, {
    ClientComputedContentSHA256: declared,
    S3ComputedContentSHA256: actual,
  })
}

function isStreaming(value: string): value is StreamingMode {
  return Object.hasOwn(streamingModes, value)
}

async function decodeBody(
  options: {
    request: WireRequest
    body: Buffer
    mode: StreamingMode
    claim: SignatureClaim
    seed: Recomputed
  },
  refuse: Refuse,
): Promise<{ body: Buffer; trailers: ReadonlyMap<string, string> }> {
  const reading = await decodeAwsChunked(options.body, options)
  switch (reading.kind) {
    case 'signature-mismatch':
      throw refuse('signature-mismatch')
    case 'chunk-too-small':
      throw new AwsError(
        403,
        'InvalidChunkSizeError',
        'Only the last chunk is allowed to have a size less than 8192 bytes',
      )
    case 'malformed':
      throw new AwsError(400, 'IncompleteBody', `The request body terminated unexpectedly: ${reading.reason}`)
    case 'body':
      break
  }
  const announced = headerValue(options.request, 'x-amz-decoded-content-length')
  if (announced === undefined) {
    throw new AwsError(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
  }
  if (announced !== String(reading.body.length)) {
    throw new AwsError(400, 'IncompleteBody', 'You did not provide the number of bytes specified')
  }
  return reading
}

/**
 * Shows what was expected, as S3 does to help its users.
 * SECURITY: but for the session token, which S3 echoes: here it would end up in the output of tests and demos.
 */
function mismatch(seed: Recomputed, claim: SignatureClaim, refuse: Refuse): AwsError {
  return refuse('signature-mismatch', undefined, {
    AWSAccessKeyId: claim.accessKeyId,
    StringToSign: seed.stringToSign,
    SignatureProvided: claim.signature,
    CanonicalRequest: seed.canonicalRequest.replace(
      /(?<=^x-amz-security-token:|X-Amz-Security-Token=)[^&\n]*/gm,
      '[secret]',
    ),
  })
}

/** `20150830T123600Z` */
function longDate(at: EpochMs): string {
  return new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '')
}
