import { encodePath, recodePath, recodeQuery } from './encoding.ts'

export interface NameValue {
  /** Lower-case. */
  readonly name: string
  readonly value: string
}

/**
 * How a path enters the signature. `normalized`: dot segments and empty segments removed, then encoded once more
 * (so twice in all): every service but S3. `as-key`: S3, where a path is a key and stands encoded once.
 */
export type PathRule = 'normalized' | 'as-key'

/** The parts of a canonical request, each in canonical form already. */
export interface CanonicalParts {
  readonly method: string
  readonly path: string
  readonly query: string
  /** Sorted, names unique. */
  readonly headers: readonly NameValue[]
  readonly payloadHash: string
}

/** The canonical request and the list of header names it covers (SigV4, "Create a canonical request"). */
export function canonicalRequest({ method, path, query, headers, payloadHash }: CanonicalParts): {
  text: string
  signedHeaders: string
} {
  let lines = ''
  let signedHeaders = ''
  for (const { name, value } of headers) {
    lines += `${name}:${value}\n`
    signedHeaders += signedHeaders === '' ? name : `;${name}`
  }
  return { text: `${method}\n${path}\n${query}\n${lines}\n${signedHeaders}\n${payloadHash}`, signedHeaders }
}

/** The canonical form of a path as sent; an empty one counts as `/`. */
export function canonicalPath(path: string, rule: PathRule): string {
  if (path === '') return '/'
  return rule === 'as-key' ? recodePath(path) : encodePath(withoutDotSegments(path))
}

/**
 * RFC 3986 section 5.2.4, as the AWS SDKs do it: runs of slashes count as one, and a dot segment at the end leaves
 * no slash behind.
 */
export function withoutDotSegments(path: string): string {
  if (!path.includes('/.') && !path.includes('//')) return path
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const closing = kept.length > 0 && path.endsWith('/') ? '/' : ''
  return `/${kept.join('/')}${closing}`
}

/** The canonical form of a query as sent, without its `?`: recoded, sorted by name and then by value. */
export function canonicalQuery(query: string): string {
  if (!query.includes('&')) return canonicalPair(query)
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name, value] = splitPair(pair)
      return { name: recodeQuery(name), value: recodeQuery(value) }
    })
    .sort((one, other) => compare(one.name, other.name) || compare(one.value, other.value))
    .map(({ name, value }) => `${name}=${value}`)
    .join('&')
}

/** Of a query with one pair at most. */
function canonicalPair(pair: string): string {
  if (pair === '') return ''
  const [name, value] = splitPair(pair)
  return `${recodeQuery(name)}=${recodeQuery(value)}`
}

/** `name=value` at its first `=`; without one the value is empty. */
export function splitPair(pair: string): [name: string, value: string] {
  const equals = pair.indexOf('=')
  return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
}

/** Headers to sign in canonical form: sorted by name, same names joined in order. */
export function canonicalHeaders(headers: readonly NameValue[]): NameValue[] {
  const sorted: NameValue[] = []
  for (const header of headers) {
    const { name, value } = header
    // They are few and come nearly in order: looking from the end costs less than a sort.
    let at = sorted.length
    while (at > 0 && sorted[at - 1]!.name > name) at -= 1
    const before = sorted[at - 1]
    if (before?.name === name) sorted[at - 1] = { name, value: `${before.value},${value}` }
    else sorted.splice(at, 0, header)
  }
  return sorted
}

const needsCompacting = /^ | $| {2}|\t/

/**
 * A header value in canonical form: trimmed, runs of white space as one space. White space is SP and HTAB (RFC 9110
 * section 5.6.3) alone: the characters stand for bytes, and 0xA0 is a part of one in UTF-8, not a space.
 */
export function canonicalValue(value: string): string {
  return needsCompacting.test(value) ? value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '') : value
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
