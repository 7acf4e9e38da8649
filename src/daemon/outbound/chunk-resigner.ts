import { createHash, type Hash } from 'node:crypto'
import { Fault } from '#base/errors'
import { Gathering } from '#base/gathering'
import { openChunkSignatures, type SeedSignature } from '#model/signing'
import { openAwsChunkedParser, parseTail, type ChunkHeader } from '#wire/aws-chunked'
import type { BodyTransformer } from './body-transformer.ts'
import type { Budget } from './bounds.ts'

interface OpenChunk extends ChunkHeader {
  readonly signature: string
  readonly hash: Hash
  readonly parts: Gathering
}

const crlf = Buffer.from('\r\n')

/**
 * Puts our signatures in place of the client's in an aws-chunked body, and leaves every other byte and so its length
 * as it was. A chunk is held until it is whole, as its signature goes before it: at most `limit` bytes, taken from
 * `budget`.
 */
export function openChunkResigner(
  seed: SeedSignature,
  { limit, budget }: { limit: number; budget: Budget },
): BodyTransformer {
  const signatures = openChunkSignatures(seed)
  let ready: Buffer[] = []
  let chunk: OpenChunk | undefined
  let taken = 0

  const parser = openAwsChunkedParser({
    chunk(header) {
      const { signature, size } = header
      if (signature === undefined) throw new Fault('WIRE_MALFORMED', 'aws-chunked body: unsigned chunk')
      if (size > limit) throw new Fault('WIRE_TOO_LARGE', overLimit(size, limit))
      chunk = { ...header, signature, hash: createHash('sha256'), parts: new Gathering() }
      if (size === 0) sign(chunk)
    },
    data(bytes) {
      if (!budget.take(bytes.length)) {
        throw new Fault('BUFFERS_EXHAUSTED', 'the daemon holds too many bodies at once')
      }
      taken += bytes.length
      chunk!.hash.update(bytes)
      chunk!.parts.push(bytes)
    },
    chunkEnd() {
      sign(chunk!)
      ready.push(crlf)
      letGo()
    },
  })

  function sign({ sizeText, signature, hash, parts }: OpenChunk): void {
    const ours = fitted(signatures.signChunk(hash.digest('hex')), signature)
    ready.push(Buffer.from(`${sizeText};chunk-signature=${ours}\r\n`), ...parts.pieces)
  }

  function letGo(): void {
    budget.give(taken)
    taken = 0
    chunk = undefined
  }

  function takeReady(): readonly Buffer[] {
    const parts = ready
    ready = []
    return parts
  }

  return {
    keepsLength: true,
    write(payload) {
      parser.push(payload)
      return takeReady()
    },
    end() {
      const { trailers, before, signature, after } = parseTail(parser.finish())
      const canonical = trailers.map(({ name, value }) => `${name}:${value}\n`).join('')
      const ours = signature === '' ? '' : fitted(signatures.signTrailers(canonical), signature)
      ready.push(Buffer.from(before + ours + after, 'latin1'))
      return takeReady()
    },
    close: letGo,
  }
}

/** Signatures of SigV4A vary in length, and are filled up to the longest where lengths are announced. */
function fitted(ours: string, theirs: string): string {
  if (ours.length > theirs.length) {
    throw new Fault('WIRE_MALFORMED', 'aws-chunked body: no room for the signature of this endpoint')
  }
  return ours.padEnd(theirs.length, '*')
}

function overLimit(size: number, limit: number): string {
  return (
    `a chunk must be hashed before it is sent, and one of ${size} bytes exceeds ${limit}: ` +
    'send smaller chunks, or raise the buffer limit of the daemon'
  )
}
