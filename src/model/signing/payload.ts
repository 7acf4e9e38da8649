import type { Framing } from '#wire/http1'
import type { NameValue } from './canonical.ts'
import { presignedTerms } from './presigned.ts'
import { isS3 } from './service.ts'
import type { SigningScope } from './signer.ts'

export const unsignedPayload = 'UNSIGNED-PAYLOAD'
/** SHA-256 of nothing. */
export const emptyPayloadHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** What stands for the hash of a body that carries its own framing, checksums or signatures. */
const streamingModes = {
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER': 'as-is',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': 'chunks',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER': 'chunks',
  'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD': 'chunks',
  'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER': 'chunks',
  'STREAMING-AWS4-HMAC-SHA256-EVENTS': 'events',
} as const

export type StreamingMode = keyof typeof streamingModes

/** Whether `value`, in the place of a payload hash, announces a body with parts. */
export function isStreamingMode(value: string): value is StreamingMode {
  return Object.hasOwn(streamingModes, value)
}

/** How the body of a request gets into its signature. */
export type PayloadDecision =
  /** The hash is known: the client declared it, or there is no body. */
  | { readonly mode: 'declared-hash'; readonly hash: string }
  /** Sign the word UNSIGNED-PAYLOAD and stream. */
  | { readonly mode: 'unsigned' }
  /**
   * Sign the word `hash` and stream. The parts of the body: pass `as-is`, or are signed anew, aws-chunked `chunks`
   * or the messages of an event stream (`events`).
   */
  | {
      readonly mode: 'streaming'
      readonly hash: StreamingMode
      readonly parts: 'as-is' | 'chunks' | 'events'
    }
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
  { headers, query, framing }: { headers: readonly NameValue[]; query: string; framing: Framing },
  scope: SigningScope,
  { bufferLimit }: { bufferLimit: number },
): PayloadDecision {
  const { service } = scope
  const declared = declaredPayload(headers)
  const mayBeUnsigned = isS3(service) || neverVerified.has(service)
  if (declared.length > 1) return { mode: 'refuse', reason: 'repeated x-amz-content-sha256' }
  const value = declared[0] ?? impliedPayload(headers, query, service)
  if (value?.startsWith('STREAMING-')) return streaming(value, scope)
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
  if (framing.kind === 'length') return { mode: 'refuse', reason: overLimit(bufferLimit) }
  return isGrpc(headers) ? { mode: 'refuse', reason: endlessGrpc(service) } : buffered(bufferLimit)
}

function declaredPayload(headers: readonly NameValue[]): string[] {
  return headers.filter(({ name }) => name === 'x-amz-content-sha256').map(({ value }) => value)
}

function contentTypeIs(headers: readonly NameValue[], pattern: RegExp): boolean {
  return headers.some(({ name, value }) => name === 'content-type' && pattern.test(value))
}

/** The head does not tell a call with one message from one side of a conversation, whose end may wait for answers. */
function isGrpc(headers: readonly NameValue[]): boolean {
  return contentTypeIs(headers, /^application\/grpc(?![\w-])/i)
}

/**
 * What a request without x-amz-content-sha256 means. A presigned URL of S3 leaves its body unsigned unless it says
 * otherwise; a client without credentials sends the messages of an event stream bare.
 */
function impliedPayload(headers: readonly NameValue[], query: string, service: string): string | undefined {
  if (isS3(service)) {
    const presigned = presignedTerms(query)
    return presigned && (presigned.payloadHash ?? unsignedPayload)
  }
  const events = contentTypeIs(headers, /^application\/vnd\.amazon\.eventstream\b/i)
  return events ? 'STREAMING-AWS4-HMAC-SHA256-EVENTS' : undefined
}

function streaming(value: string, { service, regionSet }: SigningScope): PayloadDecision {
  const refuse = (reason: string): PayloadDecision => ({ mode: 'refuse', reason })
  if (!isStreamingMode(value)) return refuse(`the payload mode ${value.slice(0, 64)} is not known`)
  const parts = streamingModes[value]
  if ((parts === 'events') === isS3(service)) {
    return refuse(`the payload mode ${value} is not one that ${service} takes: ${waysOut}`)
  }
  const signature = regionSet === undefined ? 'HMAC' : 'ECDSA'
  if (parts !== 'as-is' && !value.includes(signature)) {
    return refuse(`the payload mode ${value} does not go with the signature of this endpoint: ${waysOut}`)
  }
  return { mode: 'streaming', hash: value, parts }
}

const waysOut = 'declare the SHA-256 of the body in x-amz-content-sha256, or none'

function buffered(limit: number): PayloadDecision {
  return { mode: 'buffer', limit, overflow: overLimit(limit) }
}

function endlessGrpc(service: string): string {
  return (
    `a gRPC call may go on for ever, and ${service} verifies a hash of all of its body: ` +
    'declare its SHA-256 in x-amz-content-sha256, or its Content-Length; VPC Lattice, which verifies no body, ' +
    'has spec.signing.service: vpc-lattice-svcs'
  )
}

function overLimit(bufferLimit: number): string {
  return (
    `the body must be hashed before it is sent and exceeds ${bufferLimit} bytes: ` +
    'declare its SHA-256 in x-amz-content-sha256, send it in smaller parts, or raise the buffer limit of the daemon'
  )
}
