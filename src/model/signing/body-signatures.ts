import { hash } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { AwsCredential } from '#model/credential'
import { emptyPayloadHash } from './payload.ts'
import { signerFor, type Signer, type SigningScope } from './signer.ts'

/** The signature of a request head, which those of its body continue. */
export interface SeedSignature {
  readonly credential: AwsCredential
  readonly scope: SigningScope
  readonly at: EpochMs
  /** Lower-case hexadecimal. */
  readonly signature: string
}

/** Signs the parts of one aws-chunked body; each call in the order of the parts, each signature over the last. */
export interface ChunkSignatures {
  /** @param dataHash SHA-256 of the chunk's data in lower-case hexadecimal */
  signChunk(dataHash: string): string
  /** @param trailers each as `name:value`, the name in lower case, and a line feed */
  signTrailers(trailers: string): string
}

/** S3, "Signature calculations: transferring payload in multiple chunks", without and with trailers. */
export function openChunkSignatures({ credential, scope, at, signature }: SeedSignature): ChunkSignatures {
  const signer = signerFor(credential, scope, at)
  let previous = signature
  const signNext = (what: 'PAYLOAD' | 'TRAILER', hashes: string) =>
    (previous = signer.sign(stringToSign(signer, what, previous, hashes)))
  return {
    signChunk: (dataHash) => signNext('PAYLOAD', `${emptyPayloadHash}\n${dataHash}`),
    signTrailers: (trailers) => signNext('TRAILER', hash('sha256', trailers)),
  }
}

/** Signs the messages of one event stream in their order, each signature over the last. */
export interface EventSignatures {
  /**
   * @param date the encoded headers of the signed message but for the signature: `:date`, which says `at`
   * @param payload the encoded message that is wrapped; empty in the last
   */
  signEvent(date: Uint8Array, payload: Uint8Array, at: EpochMs): Buffer
}

/** "Event stream encoding" of Amazon Transcribe. A message is signed for the day on which it is sent. */
export function openEventSignatures({ credential, scope, signature }: SeedSignature): EventSignatures {
  let previous = signature
  return {
    signEvent(date, payload, at) {
      const signer = signerFor(credential, scope, at)
      const hashes = `${hash('sha256', date)}\n${hash('sha256', payload)}`
      previous = signer.sign(stringToSign(signer, 'PAYLOAD', previous, hashes))
      return Buffer.from(previous, 'hex')
    },
  }
}

function stringToSign(
  { algorithm, timestamp, credentialScope }: Signer,
  what: 'PAYLOAD' | 'TRAILER',
  previous: string,
  hashes: string,
): string {
  return `${algorithm}-${what}\n${timestamp}\n${credentialScope}\n${previous}\n${hashes}`
}
