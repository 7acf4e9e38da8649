import { createHash } from 'node:crypto'
import type { SignatureClaim } from './claim.ts'
import type { Recomputed } from './recompute.ts'

/** The values of x-amz-content-sha256 that announce an aws-chunked body. */
export const streamingModes = {
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': { signed: true, trailer: false },
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER': { signed: true, trailer: true },
  'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD': { signed: true, trailer: false },
  'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER': { signed: true, trailer: true },
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER': { signed: false, trailer: true },
} as const

export type StreamingMode = keyof typeof streamingModes

export type ChunkedReading =
  | { readonly kind: 'body'; readonly body: Buffer; readonly trailers: ReadonlyMap<string, string> }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'chunk-too-small' }
  | { readonly kind: 'signature-mismatch' }

const emptyHash = sha256('')
const minChunkBytes = 8192

/**
 * Decodes a whole aws-chunked body and verifies the chain of chunk and trailer signatures that starts at the
 * signature of the head (S3, "Signature calculations: transferring payload in multiple chunks").
 * All chunks but the last must hold 8 KiB, as at S3.
 */
export async function decodeAwsChunked(
  encoded: Buffer,
  options: { mode: StreamingMode; claim: SignatureClaim; seed: Recomputed },
): Promise<ChunkedReading> {
  const { signed, trailer } = streamingModes[options.mode]
  const { algorithm } = options.claim
  if (signed && !options.mode.includes(algorithm)) {
    return { kind: 'malformed', reason: 'chunks signed by another algorithm than the head' }
  }
  const chain = openChain(options)
  const parts: Buffer[] = []
  let offset = 0
  let short = false
  for (;;) {
    const end = encoded.indexOf('\r\n', offset)
    if (end < 0 || end - offset > 256) return { kind: 'malformed', reason: 'chunk header without end' }
    const header = encoded.toString('latin1', offset, end)
    const match = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64,144})\**)?$/.exec(header)
    if (!match || signed !== (match[2] !== undefined))
      return { kind: 'malformed', reason: 'bad chunk header' }
    const size = Number.parseInt(match[1] ?? '', 16)
    const data = encoded.subarray(end + 2, end + 2 + size)
    if (data.length !== size) return { kind: 'malformed', reason: 'chunk shorter than announced' }
    if (signed && !(await chain.accepts(`${algorithm}-PAYLOAD`, [emptyHash, sha256(data)], match[2]))) {
      return { kind: 'signature-mismatch' }
    }
    offset = end + 2 + size
    if (size === 0) break
    if (short) return { kind: 'chunk-too-small' }
    short = size < minChunkBytes
    parts.push(data)
    if (encoded.toString('latin1', offset, offset + 2) !== '\r\n') {
      return { kind: 'malformed', reason: 'chunk without end' }
    }
    offset += 2
  }
  const body = Buffer.concat(parts)
  const tail = encoded.toString('latin1', offset)
  if (!trailer) {
    return tail === '\r\n' || tail === ''
      ? { kind: 'body', body, trailers: new Map() }
      : { kind: 'malformed', reason: 'bytes after the last chunk' }
  }
  const trailers = parseTrailers(tail)
  if (!trailers) return { kind: 'malformed', reason: 'malformed trailer' }
  const signature = trailers.get('x-amz-trailer-signature')?.replace(/\*+$/, '')
  trailers.delete('x-amz-trailer-signature')
  if (signed) {
    const canonical = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('')
    if (!(await chain.accepts(`${algorithm}-TRAILER`, [sha256(canonical)], signature))) {
      return { kind: 'signature-mismatch' }
    }
  }
  return { kind: 'body', body, trailers }
}

function openChain({ claim, seed }: { claim: SignatureClaim; seed: Recomputed }) {
  let previous = claim.signature
  const [, longDate = '', scope = ''] = seed.stringToSign.split('\n')
  return {
    async accepts(
      algorithm: string,
      hashes: readonly string[],
      signature: string | undefined,
    ): Promise<boolean> {
      if (signature === undefined) return false
      const text = [algorithm, longDate, scope, previous, ...hashes].join('\n')
      previous = signature
      return seed.accepts(text, signature)
    },
  }
}

function parseTrailers(tail: string): Map<string, string> | undefined {
  const trailers = new Map<string, string>()
  for (const line of tail.split(/\r?\n/)) {
    if (line === '') continue
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    const name = line.slice(0, colon).trim().toLowerCase()
    if (trailers.has(name)) return undefined
    trailers.set(name, line.slice(colon + 1).trim())
  }
  return trailers
}

/** SHA-256 in lower-case hexadecimal. */
export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}
