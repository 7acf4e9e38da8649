import type { EpochMs } from '#base/clock'
import type { AwsCredential } from '#model/credential'
import { signSigV4, type SeedSignature, type SigningScope } from '#model/signing'
import type { HeaderField, RequestHead } from '#wire/http1'
import type { Address } from './address.ts'
import type { BodyTransformer } from './body-transformer.ts'

/** A request that may be sent as soon as it is signed. */
export interface Admitted {
  readonly head: RequestHead
  readonly address: Address
  readonly scope: SigningScope
  readonly payloadHash: string
  /** The whole body where it was held to be hashed; otherwise it is streamed. */
  readonly body?: Buffer
  /** For a streamed body that carries signatures: what makes them ours. */
  readonly resign?: (seed: SeedSignature) => BodyTransformer
}

/** Headers that end at this hop (RFC 9110 section 7.6.1), beside those that Connection names. */
const hopByHop = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'upgrade',
])

/** Whether a header of a request or a response is passed on. */
export function passesHop(name: string, connection: readonly string[]): boolean {
  return !hopByHop.has(name) && !connection.includes(name)
}

/** A request as it is to be sent: in HTTP/1.1 a head to format, in HTTP/2 a header section. */
export interface SignedRequest {
  readonly method: string
  /** In origin form. */
  readonly target: string
  /** Host first. */
  readonly headers: readonly HeaderField[]
  /** What a streamed body has to pass through, where the signature goes along with it. */
  readonly transformer?: BodyTransformer
}

/** What the client sent, less what ends here and what authenticated it, plus the signature. */
export function signRequest(
  { head, address, scope, payloadHash, body, resign }: Admitted,
  credential: AwsCredential,
  at: EpochMs,
): SignedRequest {
  const { method, host = '' } = head
  const {
    headers: added,
    removeHeaders,
    query,
    seed,
  } = signSigV4({ method, host, ...address, headers: head.headers, payloadHash }, credential, scope, at)
  const headers: HeaderField[] = [{ name: 'Host', value: host }]
  for (const header of head.headers) {
    const { name } = header
    if (name === 'host' || removeHeaders.includes(name) || !passesHop(name, head.connection)) continue
    if (body && isReplaced(name)) continue
    headers.push(header)
  }
  if (body) headers.push({ name: 'Content-Length', value: String(body.length) })
  headers.push(...added)
  const target = query === '' ? address.path : `${address.path}?${query}`
  return { method, target, headers, ...(resign && { transformer: resign(seed) }) }
}

/** A body that was held is sent whole: no expectation, no chunks, no trailers. */
function isReplaced(name: string): boolean {
  return name === 'content-length' || name === 'transfer-encoding' || name === 'expect' || name === 'trailer'
}
