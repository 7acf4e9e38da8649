import { Buffer } from 'node:buffer'
import { splitPair, type NameValue } from './canonical.ts'
import { decodeBytes } from './encoding.ts'
import { isS3 } from './service.ts'

const authenticationParameters = new Set([
  'x-amz-algorithm',
  'x-amz-content-sha256',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-region-set',
  'x-amz-s3session-token',
  'x-amz-security-token',
  'x-amz-signature',
  'x-amz-signedheaders',
])

/** Of S3's presigned URLs before Signature Version 4, which older SDKs still make. Only S3 tells them by these. */
const olderParameters = new Set(['awsaccesskeyid', 'expires', 'signature', 'x-amz-security-token'])

/** A query without the parameters of presigned authentication; everything else keeps its bytes and order. */
export function withoutQueryAuthentication(query: string, service: string): string {
  // Encoded names contain `%`: only queries with none of these can be passed without a closer look.
  if (!/x-amz-|%|awsaccesskeyid/i.test(query)) return query
  const pairs = query.split('&')
  const older = isS3(service) && pairs.some((pair) => decodedName(pair) === 'awsaccesskeyid')
  const kept = pairs.filter((pair) => {
    const name = decodedName(pair)
    return !authenticationParameters.has(name) && !(older && olderParameters.has(name))
  })
  return kept.join('&')
}

/** What presigned authentication says about how to sign; undefined where a query carries none. */
export function presignedTerms(
  query: string,
): { regionSet: string | undefined; payloadHash: string | undefined } | undefined {
  if (!/x-amz-|%|awsaccesskeyid/i.test(query)) return undefined
  const values = new Map<string, string>()
  for (const pair of query.split('&')) {
    values.set(decodedName(pair), Buffer.from(decodeBytes(splitPair(pair)[1])).toString('latin1'))
  }
  if (!values.has('x-amz-signature') && !values.has('awsaccesskeyid')) return undefined
  return { regionSet: values.get('x-amz-region-set'), payloadHash: values.get('x-amz-content-sha256') }
}

const wellFormedSet = /^[a-z0-9*-]{1,64}(?:, ?[a-z0-9*-]{1,64}){0,63}$/

/**
 * The regions for which the client wants its request signed with SigV4A, as it says by X-Amz-Region-Set in header or
 * query; undefined when it says nothing, or nothing sensible.
 */
export function askedRegionSet(headers: readonly NameValue[], query: string): string | undefined {
  const header = headers.find(({ name }) => name === 'x-amz-region-set')
  const asked = header?.value ?? presignedTerms(query)?.regionSet
  return asked !== undefined && wellFormedSet.test(asked) ? asked : undefined
}

function decodedName(pair: string): string {
  return String.fromCharCode(...decodeBytes(splitPair(pair)[0].slice(0, 64))).toLowerCase()
}
