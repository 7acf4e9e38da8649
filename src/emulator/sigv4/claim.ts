import type { EpochMs } from '#base/clock'
import { headerValue, parseQuery, splitTarget, type WireRequest } from './wire-request.ts'

/** What a request says about its own signature. Nothing in it is verified yet. */
export interface SignatureClaim {
  readonly form: 'header' | 'query'
  readonly algorithm: Algorithm
  readonly accessKeyId: string
  /** Of SigV4A `region` is a set: names and patterns joined by commas. */
  readonly scope: { readonly date: string; readonly region: string; readonly service: string }
  /** Lower-case, in the order given. */
  readonly signedHeaders: readonly string[]
  /** Lower-case hexadecimal, as sent. */
  readonly signature: string
  readonly at: EpochMs
  /** Query form only: how long the URL holds after `at`. */
  readonly expiresSeconds?: number
  readonly sessionToken?: string
}

export type ClaimReading =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'claim'; readonly claim: SignatureClaim }

const algorithms = ['AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256'] as const
export type Algorithm = (typeof algorithms)[number]

const maxPresignedSeconds = 7 * 24 * 3600

/** Reads the Authorization header, or else the query of a presigned URL (SigV4, "Authenticating requests"). */
export function readClaim(request: WireRequest): ClaimReading {
  const authorization = headerValue(request, 'authorization')
  const query = parseQuery(splitTarget(request.target).query)
  if (authorization !== undefined && query.has('X-Amz-Algorithm')) {
    return { kind: 'malformed', reason: 'Only one auth mechanism allowed' }
  }
  if (authorization !== undefined) return readHeader(request, authorization)
  if (query.has('X-Amz-Algorithm')) return readPresigned(query)
  return { kind: 'none' }
}

function readHeader(request: WireRequest, authorization: string): ClaimReading {
  const algorithm = algorithms.find((name) => authorization.startsWith(`${name} `))
  if (algorithm === undefined) {
    return { kind: 'malformed', reason: `Authorization header requires algorithm ${algorithms[0]}` }
  }
  const fields = new Map<string, string>()
  for (const part of authorization.slice(algorithm.length).split(',')) {
    const [name = '', ...rest] = part.trim().split('=')
    if (fields.has(name)) return { kind: 'malformed', reason: `Authorization header repeats '${name}'` }
    fields.set(name, rest.join('='))
  }
  const sessionToken = headerValue(request, 'x-amz-security-token')
  return assemble({
    form: 'header',
    algorithm,
    regionSet: headerValue(request, 'x-amz-region-set'),
    credential: fields.get('Credential'),
    signedHeaders: fields.get('SignedHeaders'),
    signature: fields.get('Signature'),
    date: headerValue(request, 'x-amz-date') ?? headerValue(request, 'date'),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  })
}

function readPresigned(query: ReadonlyMap<string, readonly string[]>): ClaimReading {
  for (const [name, values] of query) {
    if (name.startsWith('X-Amz-') && values.length > 1) {
      return { kind: 'malformed', reason: `${name} is given more than once` }
    }
  }
  const one = (name: string) => query.get(name)?.[0]
  const algorithm = algorithms.find((name) => name === one('X-Amz-Algorithm'))
  if (algorithm === undefined) {
    return { kind: 'malformed', reason: `X-Amz-Algorithm only supports "${algorithms[0]}"` }
  }
  const expires = one('X-Amz-Expires') ?? ''
  if (!/^\d{1,6}$/.test(expires) || Number(expires) > maxPresignedSeconds) {
    return { kind: 'malformed', reason: 'X-Amz-Expires must be a number of seconds, at most a week' }
  }
  const sessionToken = one('X-Amz-Security-Token')
  return assemble({
    form: 'query',
    algorithm,
    regionSet: one('X-Amz-Region-Set'),
    credential: one('X-Amz-Credential'),
    signedHeaders: one('X-Amz-SignedHeaders'),
    signature: one('X-Amz-Signature'),
    date: one('X-Amz-Date'),
    expiresSeconds: Number(expires),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  })
}

function assemble(parts: {
  form: 'header' | 'query'
  algorithm: Algorithm
  regionSet: string | undefined
  credential: string | undefined
  signedHeaders: string | undefined
  signature: string | undefined
  date: string | undefined
  expiresSeconds?: number
  sessionToken?: string
}): ClaimReading {
  const { form, algorithm, expiresSeconds, sessionToken } = parts
  const malformed = (reason: string): ClaimReading => ({ kind: 'malformed', reason })
  if (!parts.credential) return malformed("Authorization requires 'Credential' parameter")
  if (!parts.signature) return malformed("Authorization requires 'Signature' parameter")
  if (!parts.signedHeaders) return malformed("Authorization requires 'SignedHeaders' parameter")
  const at = parts.date === undefined ? undefined : parseAmzDate(parts.date)
  if (at === undefined) return malformed("Authorization requires existence of a valid 'X-Amz-Date' or 'Date'")
  const elements = parts.credential.split('/')
  if (algorithm === 'AWS4-ECDSA-P256-SHA256') elements.splice(2, 0, parts.regionSet ?? '')
  const [accessKeyId, date, region, service, terminator, ...rest] = elements
  if (!accessKeyId || !date || !region || !service || terminator !== 'aws4_request' || rest.length > 0) {
    return malformed(`Credential must have 5 slash-delimited elements ending in aws4_request`)
  }
  return {
    kind: 'claim',
    claim: {
      form,
      algorithm,
      accessKeyId,
      scope: { date, region, service },
      signedHeaders: parts.signedHeaders.split(';'),
      signature: parts.signature,
      at,
      ...(expiresSeconds === undefined ? {} : { expiresSeconds }),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
  }
}

/** ISO 8601 basic format (`20150830T123600Z`), or the HTTP date that the Date header may carry. */
function parseAmzDate(text: string): EpochMs | undefined {
  const basic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  const at = basic
    ? Date.parse(`${basic[1]}-${basic[2]}-${basic[3]}T${basic[4]}:${basic[5]}:${basic[6]}Z`)
    : Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}
