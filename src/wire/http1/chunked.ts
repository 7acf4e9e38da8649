import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import type { BodyScanner } from './body.ts'
import { CR, hexDigit, LF } from './characters.ts'
import { parseFields } from './fields.ts'
import type { Header } from './head.ts'

const SEMICOLON = 0x3b
/** Leading zeros count: a size line is never longer than any real size needs. */
const maxSizeDigits = 16
/** Over all chunks of a body: extensions carry nothing that we know of, so a flood of them is an attack. */
const maxExtensionBytes = 16 * 1024
const maxTrailerBytes = 16 * 1024
const maxTrailers = 64
const nothing = Buffer.alloc(0)
/** RFC 9112 section 7.1.1, without its optional white space. */
const extensions =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)+$/

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailer' | 'done'

/** RFC 9110 section 6.5.1: what frames, routes or authenticates a message must not come behind it. */
const forbiddenTrailers = new Set([
  'api-key',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'proxy-authorization',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'x-api-key',
  'x-auth-token',
])
/**
 * SECURITY: of what AWS gives a meaning, only sums of the body stand behind it: as trailers the others would be
 * merged into a request whose signature does not cover them.
 */
const forbiddenFamily = /^x-amz-(?!checksum-|trailer-signature$)/

function isForbidden({ name }: Header): boolean {
  return forbiddenTrailers.has(name) || forbiddenFamily.test(name)
}

function malformed(reason: string): never {
  throw new Fault('WIRE_MALFORMED', `chunked body: ${reason}`)
}

/**
 * Scans a chunked body (RFC 9112 section 7.1), strict where parsers are known to differ. `forbidden`: names of trailers
 * beside those that nobody may send, in lower case.
 */
export function openChunkedScanner(forbidden: readonly string[] = []): BodyScanner {
  let state: State = 'size'
  let size = 0
  let digits = 0
  /** Of all chunks so far, and of those before the one at hand. */
  let extensionBytes = 0
  let extensionStart = 0
  let kept = nothing
  let trailerBytes = 0
  let trailers: readonly Header[] = []

  /** What is unfinished lies in one buffer: as text or numbers, byte by byte, it would take many times its length. */
  function keep(byte: number, at: number): void {
    if (at === kept.length) kept = Buffer.concat([kept], Math.max(64, 2 * at))
    kept[at] = byte
  }

  /** Takes one byte of a size line. */
  function takeSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      digits += 1
      size = size * 16 + digit
      if (digits > maxSizeDigits || size > Number.MAX_SAFE_INTEGER) malformed('size too large')
      return
    }
    if (digits === 0) malformed('size is not hexadecimal')
    if (byte === CR) state = 'size-lf'
    else if (byte === SEMICOLON) takeExtension(byte)
    else malformed('size is not hexadecimal')
  }

  function takeExtension(byte: number): void {
    if (byte !== CR) {
      if (extensionBytes === maxExtensionBytes) malformed('too many extensions')
      state = 'extension'
      keep(byte, extensionBytes - extensionStart)
      extensionBytes += 1
      return
    }
    if (!extensions.test(kept.toString('latin1', 0, extensionBytes - extensionStart))) {
      malformed('malformed extension')
    }
    state = 'size-lf'
    extensionStart = extensionBytes
  }

  /** Trailers end with an empty line, as a line feed two bytes behind another: each has its carriage return. */
  function takeTrailer(byte: number): void {
    const afterCr = trailerBytes > 0 && kept[trailerBytes - 1] === CR
    if ((byte === LF) !== afterCr) malformed('bare CR or LF in the trailers')
    if (trailerBytes === maxTrailerBytes) malformed('trailers too large')
    keep(byte, trailerBytes)
    trailerBytes += 1
    if (byte !== LF || (trailerBytes > 2 && kept[trailerBytes - 3] !== LF)) return
    const bytes = kept.subarray(0, trailerBytes)
    const range = { start: 0, end: bytes.length - 2, maxHeaders: maxTrailers }
    const fields = parseFields(bytes, bytes.toString('latin1'), range)
    if (typeof fields === 'string') malformed(`trailers: ${fields}`)
    const found = fields.headers.find((header) => isForbidden(header) || forbidden.includes(header.name))
    if (found) malformed(`forbidden trailer ${found.name}`)
    trailers = fields.headers
    state = 'done'
  }

  function take(byte: number): void {
    switch (state) {
      case 'size':
        return takeSize(byte)
      case 'extension':
        return takeExtension(byte)
      case 'size-lf':
        if (byte !== LF) malformed('bare CR in a size line')
        state = size === 0 ? 'trailer' : 'data'
        return
      case 'data-cr':
        if (byte !== CR) malformed('chunk longer than its size')
        state = 'data-lf'
        return
      case 'data-lf':
        if (byte !== LF) malformed('chunk longer than its size')
        state = 'size'
        digits = 0
        return
      case 'trailer':
        return takeTrailer(byte)
    }
  }

  return {
    get done() {
      return state === 'done'
    },
    get trailers() {
      return trailers
    },
    scan(chunk: Buffer, onPayload) {
      let at = 0
      while (at < chunk.length && state !== 'done') {
        if (state === 'data') {
          const end = Math.min(chunk.length, at + size)
          onPayload?.(chunk.subarray(at, end))
          size -= end - at
          at = end
          if (size === 0) state = 'data-cr'
        } else {
          take(chunk[at]!)
          at += 1
        }
      }
      return { consumed: at, done: state === 'done' }
    },
  }
}
