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
  const names = pairs.map(decodedName)
  const older = isS3(service) && names.includes('awsaccesskeyid')
  const kept = pairs.filter((_, at) => {
    const name = names[at]!
    return !authenticationParameters.has(name) && !(older && olderParameters.has(name))
  })
  return kept.join('&')
}

/** What presigned authentication says about how to sign; undefined where a query carries none. */
export function presignedTerms(
  query: string,
): { regionSet: string | undefined; payloadHash: string | undefined } | undefined {
  if (!/x-amz-|%|awsaccesskeyid/i.test(query)) return undefined
  const pairs = new Map(query.split('&').map((pair) => [decodedName(pair), pair]))
  if (!pairs.has('x-amz-signature') && !pairs.has('awsaccesskeyid')) return undefined
  const valueOf = (name: string) => {
    const pair = pairs.get(name)
    return pair === undefined ? undefined : Buffer.from(decodeBytes(splitPair(pair)[1])).toString('latin1')
  }
  return { regionSet: valueOf('x-amz-region-set'), payloadHash: valueOf('x-amz-content-sha256') }
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
  const name = splitPair(pair)[0].slice(0, 64)
  return (name.includes('%') ? Buffer.from(decodeBytes(name)).toString('latin1') : name).toLowerCase()
}
