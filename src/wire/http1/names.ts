import { Buffer } from 'node:buffer'

/** What a field name means to the parser of a head. */
export type Role = 'host' | 'content-length' | 'transfer-encoding' | 'connection' | 'upgrade' | 'expect'

export interface FieldName {
  /** Lower-case. */
  readonly name: string
  /** As sent. */
  readonly rawName: string
  readonly role: Role | undefined
}

const roles: ReadonlyMap<string, Role> = new Map(
  (['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'expect'] as const).map(
    (name) => [name, name],
  ),
)

/** A name of which nothing is known beforehand. */
export function fieldName(rawName: string): FieldName {
  const name = rawName.toLowerCase()
  return { name, rawName, role: roles.get(name) }
}

/** Names that SDKs, browsers and clouds send: told by their bytes, they cost no text of their own. */
const frequent = `
  Accept Accept-Encoding Accept-Language Accept-Ranges Age Authorization Cache-Control Connection
  Content-Encoding Content-Length Content-MD5 Content-Range Content-Type Cookie Date ETag Expect
  Host If-Match If-None-Match Keep-Alive Last-Modified Location Pragma Range Server TE Trailer
  Transfer-Encoding Upgrade User-Agent Vary Via Amz-Sdk-Invocation-Id Amz-Sdk-Request
  X-Amz-Content-Sha256 X-Amz-Date X-Amz-Decoded-Content-Length X-Amz-Security-Token X-Amz-Target
  X-Amz-User-Agent X-Amz-Id-2 X-Amz-Request-Id X-Amzn-RequestId X-Amz-Trailer X-Amz-Checksum-CRC32
`
  .trim()
  .split(/\s+/)

// FNV-1a of 32 bits: computed while a name is scanned, a step for each byte.
export const hashSeed = 0x811c9dc5 | 0
const prime = 0x01000193
export function hashStep(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, prime)
}

const slots = 1024
const table: (readonly { readonly bytes: Uint8Array; readonly name: FieldName }[] | undefined)[] = Array.from(
  { length: slots },
)
for (const rawName of new Set(frequent.flatMap((name) => [name, name.toLowerCase()]))) {
  const bytes = Buffer.from(rawName)
  const slot = bytes.reduce(hashStep, hashSeed) & (slots - 1)
  table[slot] = [...(table[slot] ?? []), { bytes, name: fieldName(rawName) }]
}

/** The frequent name that stands from `start` to `end` and has this hash; undefined for every other. */
export function frequentName(
  bytes: Uint8Array,
  start: number,
  { end, hash }: { end: number; hash: number },
): FieldName | undefined {
  for (const entry of table[hash & (slots - 1)] ?? none)
    if (isAt(entry.bytes, bytes, start, end)) return entry.name
  return undefined
}

const none: readonly never[] = []

function isAt(wanted: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (wanted.length !== end - start) return false
  for (let at = 0; at < wanted.length; at += 1) if (wanted[at] !== bytes[start + at]) return false
  return true
}
