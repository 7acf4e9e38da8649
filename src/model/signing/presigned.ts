import { splitPair } from './canonical.ts'
import { decodeBytes } from './encoding.ts'

const authenticationParameters = new Set([
  'x-amz-algorithm',
  'x-amz-content-sha256',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-region-set',
  'x-amz-security-token',
  'x-amz-signature',
  'x-amz-signedheaders',
])

/** A query without the parameters of presigned authentication; everything else keeps its bytes and order. */
export function withoutQueryAuthentication(query: string): string {
  // Encoded names contain `%`: only queries with neither can be passed without a closer look.
  if (!/x-amz-|%/i.test(query)) return query
  const kept = query.split('&').filter((pair) => !authenticationParameters.has(decodedName(pair)))
  return kept.join('&')
}

function decodedName(pair: string): string {
  return String.fromCharCode(...decodeBytes(splitPair(pair)[0].slice(0, 64))).toLowerCase()
}
