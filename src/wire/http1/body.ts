import { Buffer } from 'node:buffer'
import { openChunkedScanner } from './chunked.ts'
import type { Framing, Header } from './head.ts'

/** `consumed` bytes of the chunk belong to the body; `done` when the body ends with them. */
export interface Scan {
  readonly consumed: number
  readonly done: boolean
}

/** Finds the end of a body that passes through untouched. */
export interface BodyScanner {
  /** True as soon as the body is complete: at once for an empty one, never for `until-close`. */
  readonly done: boolean
  /** Of a chunked body that is `done`; empty for every other. */
  readonly trailers: readonly Header[]
  /**
   * Looks at the next bytes of the connection. `onPayload` gets the payload among them as views of `chunk`
   * (without the framing of chunked bodies). @throws Fault WIRE_MALFORMED
   */
  scan(chunk: Buffer, onPayload?: (payload: Buffer) => void): Scan
}

/**
 * A scanner for one body. It keeps no bytes but an unfinished extension or trailer part (16 KiB at most). A body with a
 * trailer of a name in `forbidden` (lower case) is malformed.
 */
export function openBodyScanner(framing: Framing, forbidden: readonly string[] = []): BodyScanner {
  if (framing.kind === 'chunked') return openChunkedScanner(forbidden)
  if (framing.kind === 'length') return openLengthScanner(framing.bytes)
  return openLengthScanner(framing.kind === 'none' ? 0 : Infinity)
}

function openLengthScanner(bytes: number): BodyScanner {
  let remaining = bytes
  return {
    get done() {
      return remaining === 0
    },
    trailers: [],
    scan(chunk, onPayload) {
      const consumed = Math.min(remaining, chunk.length)
      if (consumed > 0) onPayload?.(consumed === chunk.length ? chunk : chunk.subarray(0, consumed))
      remaining -= consumed
      return { consumed, done: remaining === 0 }
    },
  }
}

/**
 * The payload of a whole chunked body at the start of `buffer`, and the bytes it takes there; undefined while
 * its end is missing. @throws Fault WIRE_MALFORMED
 */
export function decodeChunked(buffer: Buffer): { payload: Buffer; length: number } | undefined {
  const parts: Buffer[] = []
  const { consumed, done } = openChunkedScanner().scan(buffer, (part) => parts.push(part))
  return done ? { payload: Buffer.concat(parts), length: consumed } : undefined
}
