import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import { maxTailBytes } from './tail.ts'

/** The line before the data of a chunk: `SIZE;chunk-signature=SIGNATURE`. */
export interface ChunkHeader {
  /** In bytes; zero in the last chunk. */
  readonly size: number
  /** The size as it was written. */
  readonly sizeText: string
  readonly signature: string | undefined
}

/** Told of the parts of a body in the order of their coming. */
export interface AwsChunkedHandler {
  chunk(header: ChunkHeader): void
  /** A piece of the chunk's data, as a view of what was pushed. */
  data(bytes: Buffer): void
  /** All data of a chunk has come; not called for the last chunk, which has none. */
  chunkEnd(): void
}

export interface AwsChunkedParser {
  /** @throws Fault WIRE_MALFORMED, and what the handler throws: nothing may be pushed after that */
  push(bytes: Buffer): void
  /** When the body has ended: what stood behind the last chunk header. @throws Fault WIRE_MALFORMED if it is cut off */
  finish(): string
}

/** Sizes with more digits are no sizes; a signature has 64 characters, one of SigV4A is padded to 144 by `*`. */
const headerLine = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-f]{64,144}\*{0,80}))?$/
const maxHeaderBytes = 200
const CR = 0x0d
const LF = 0x0a

function malformed(reason: string): never {
  throw new Fault('WIRE_MALFORMED', `aws-chunked body: ${reason}`)
}

/** Parses one body. It keeps no bytes but an unfinished chunk header, and the tail behind the last one. */
export function openAwsChunkedParser(handler: AwsChunkedHandler): AwsChunkedParser {
  let state: 'header' | 'data' | 'data-cr' | 'data-lf' | 'tail' = 'header'
  /** Of a chunk header, or of the tail. */
  let text = ''
  let remaining = 0

  /** Takes from a header line what `bytes` has of it from `at` on; answers where it goes on. */
  function takeHeader(bytes: Buffer, at: number): number {
    const lineFeed = bytes.indexOf(LF, at)
    const end = lineFeed < 0 ? bytes.length : lineFeed + 1
    if (text.length + end - at > maxHeaderBytes) malformed('chunk header without end')
    text += bytes.toString('latin1', at, end)
    if (lineFeed < 0) return end
    if (!text.endsWith('\r\n')) malformed('bare LF in a chunk header')
    const [, sizeText, signature] = headerLine.exec(text.slice(0, -2)) ?? malformed('malformed chunk header')
    remaining = Number.parseInt(sizeText!, 16)
    text = ''
    state = remaining > 0 ? 'data' : 'tail'
    handler.chunk({ size: remaining, sizeText: sizeText!, signature })
    return end
  }

  function takeData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + remaining)
    handler.data(bytes.subarray(at, end))
    remaining -= end - at
    if (remaining === 0) state = 'data-cr'
    return end
  }

  function takeTail(bytes: Buffer, at: number): number {
    if (text.length + bytes.length - at > maxTailBytes) malformed('too much behind the last chunk')
    text += bytes.toString('latin1', at)
    return bytes.length
  }

  function takeDataEnd(byte: number): void {
    if (byte !== (state === 'data-cr' ? CR : LF)) malformed('chunk longer than its size')
    if (state === 'data-cr') {
      state = 'data-lf'
    } else {
      state = 'header'
      handler.chunkEnd()
    }
  }

  return {
    push(bytes) {
      let at = 0
      while (at < bytes.length) {
        if (state === 'header') at = takeHeader(bytes, at)
        else if (state === 'data') at = takeData(bytes, at)
        else if (state === 'tail') at = takeTail(bytes, at)
        else takeDataEnd(bytes[at++]!)
      }
    },
    finish() {
      if (state !== 'tail') malformed('it ends before its last chunk')
      return text
    },
  }
}
