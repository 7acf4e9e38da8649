import type { EpochMs } from '#base/clock'
import type { AwsCredential, Credential } from '#model/credential'
import { signSigV4, type SeedSignature, type SigningScope } from '#model/signing'
import type { HeaderField, RequestHead } from '#wire/http1'
import type { Address } from './address.ts'
import type { BodyTransformer } from './body-transformer.ts'

/** A request that may be sent as soon as it is signed. */
export interface Admitted {
  readonly head: RequestHead
  readonly address: Address
  /** What its signature is made of; absent where the credential is sent as it is. */
  readonly signature?: SignatureParts
  /** The whole body where it was held to be hashed; otherwise it is streamed. */
  readonly body?: Buffer
}

export interface SignatureParts {
  readonly scope: SigningScope
  readonly payloadHash: string
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
  /** Lower-case names of what authenticates it: SECURITY: a trailer of such a name could stand for the header. */
  readonly replaced: readonly string[]
  /** What a streamed body has to pass through, where the signature goes along with it. */
  readonly transformer?: BodyTransformer
}

/** What the client sent, less what ends here and what authenticated it, plus what authenticates it for us. */
export function signRequest(admitted: Admitted, credential: Credential, at: EpochMs): SignedRequest {
  const { head, address, body } = admitted
  const { method, host = '' } = head
  const { added, removed, query, transformer } = authentication(admitted, credential, at)
  const resized = head.framing.kind === 'length' && transformer?.keepsLength === false
  const headers: HeaderField[] = [{ name: 'Host', value: host }]
  for (const header of head.headers) {
    const { name } = header
    if (name === 'host' || removed.includes(name) || !passesHop(name, head.connection)) continue
    if (body && isReplaced(name)) continue
    if (resized && name === 'content-length') continue
    headers.push(header)
  }
  if (body) headers.push({ name: 'Content-Length', value: String(body.length) })
  if (resized) headers.push({ name: 'Transfer-Encoding', value: 'chunked' })
  headers.push(...added)
  const target = query === '' ? address.path : `${address.path}?${query}`
  return { method, target, headers, replaced: removed, ...(transformer && { transformer }) }
}

interface Authentication {
  readonly added: readonly HeaderField[]
  /** Lower-case. */
  readonly removed: readonly string[]
  readonly query: string
  readonly transformer?: BodyTransformer
}

/** @throws TypeError for a credential of another kind than was admitted */
function authentication(
  { head, address, signature }: Admitted,
  credential: Credential,
  at: EpochMs,
): Authentication {
  if (signature && credential.kind === 'aws') {
    const { method, host = '', headers } = head
    const { scope, payloadHash, resign } = signature
    const signed = signSigV4({ method, host, ...address, headers, payloadHash }, credential, scope, at)
    return {
      added: signed.headers,
      removed: signed.removeHeaders,
      query: signed.query,
      ...(resign && { transformer: resign(signed.seed) }),
    }
  }
  if (signature || credential.kind === 'aws') throw new TypeError('the credential is of another kind')
  const header = credentialHeader(credential)
  return { added: [header], removed: [header.name.toLowerCase()], query: address.query }
}

/** A credential that is sent as it is. */
function credentialHeader(credential: Exclude<Credential, AwsCredential>): HeaderField {
  switch (credential.kind) {
    case 'bearer':
      return { name: 'Authorization', value: `Bearer ${credential.token.reveal().toString('latin1')}` }
    case 'basic': {
      const pair = Buffer.concat([Buffer.from(`${credential.username}:`), credential.password.reveal()])
      return { name: 'Authorization', value: `Basic ${pair.toString('base64')}` }
    }
    default:
      return { name: credential.name, value: credential.value.reveal().toString('latin1') }
  }
}

/** A body that was held is sent whole: no expectation, no chunks, no trailers. */
function isReplaced(name: string): boolean {
  return name === 'content-length' || name === 'transfer-encoding' || name === 'expect' || name === 'trailer'
}
