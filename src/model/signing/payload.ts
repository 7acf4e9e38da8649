import type { Framing } from '#wire/http1'
import type { NameValue } from './canonical.ts'
import { isS3 } from './service.ts'

export const unsignedPayload = 'UNSIGNED-PAYLOAD'
/** SHA-256 of nothing. */
export const emptyPayloadHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** How the body of a request gets into its signature. */
export type PayloadDecision =
  /** The hash is known: the client declared it, or there is no body. */
  | { readonly mode: 'declared-hash'; readonly hash: string }
  /** Sign the word UNSIGNED-PAYLOAD and stream. */
  | { readonly mode: 'unsigned' }
  /** Read at most `limit` bytes, hash them, then send. Longer: refuse with `overflow`. */
  | { readonly mode: 'buffer'; readonly limit: number; readonly overflow: string }
  | { readonly mode: 'refuse'; readonly reason: string }

/** vpc-lattice verifies no payload at all and insists on being told so. */
const neverVerified = new Set(['vpc-lattice-svcs'])

/**
 * Decides by head alone, so that nothing is read before it is known where it goes. For S3 a body too large (or of
 * unknown length) is sent unsigned, as TLS protects it; other services verify every body.
 */
export function decidePayload(
  headers: readonly NameValue[],
  framing: Framing,
  service: string,
  { bufferLimit }: { bufferLimit: number },
): PayloadDecision {
  const declared = declaredPayload(headers)
  const mayBeUnsigned = isS3(service) || neverVerified.has(service)
  if (declared.length > 1) return { mode: 'refuse', reason: 'repeated x-amz-content-sha256' }
  const [value] = declared
  if (value?.startsWith('STREAMING-')) return { mode: 'refuse', reason: streamingRefusal(value) }
  if (value !== undefined && value !== unsignedPayload) {
    return /^[0-9a-f]{64}$/.test(value)
      ? { mode: 'declared-hash', hash: value }
      : { mode: 'refuse', reason: 'x-amz-content-sha256 is neither a SHA-256 hash nor UNSIGNED-PAYLOAD' }
  }
  if (mayBeUnsigned && (value === unsignedPayload || neverVerified.has(service))) return { mode: 'unsigned' }
  if (framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)) {
    return { mode: 'declared-hash', hash: emptyPayloadHash }
  }
  if (framing.kind === 'length' && framing.bytes <= bufferLimit) return buffered(bufferLimit)
  if (mayBeUnsigned) return { mode: 'unsigned' }
  return framing.kind === 'length'
    ? { mode: 'refuse', reason: overLimit(bufferLimit) }
    : buffered(bufferLimit)
}

function declaredPayload(headers: readonly NameValue[]): string[] {
  return headers.filter(({ name }) => name === 'x-amz-content-sha256').map(({ value }) => value)
}

function buffered(limit: number): PayloadDecision {
  return { mode: 'buffer', limit, overflow: overLimit(limit) }
}

function overLimit(bufferLimit: number): string {
  return (
    `the body must be hashed before it is sent and exceeds ${bufferLimit} bytes: ` +
    'declare its SHA-256 in x-amz-content-sha256, send it in smaller parts, or raise the buffer limit of the daemon'
  )
}

function streamingRefusal(value: string): string {
  return (
    `the payload mode ${value.slice(0, 64)} is not supported yet: ` +
    'set AWS_REQUEST_CHECKSUM_CALCULATION=when_required (SDK setting request_checksum_calculation), ' +
    'turn off chunked encoding in the S3 client, or send UNSIGNED-PAYLOAD'
  )
}
