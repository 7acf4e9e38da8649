import type { Buffer } from 'node:buffer'
import { CR, HTAB, LF, skip, SP, tokenCharacters, valueCharacters } from './characters.ts'
import type { Header } from './head.ts'
import { ParsedHeader } from './header.ts'
import { fieldName, frequentName, hashSeed, hashStep, type Role } from './names.ts'

const COLON = 0x3a

/** The fields of a head, with those that decide over framing and routing picked out on the way. */
export interface Fields {
  readonly headers: Header[]
  hosts: number
  host: string | undefined
  contentLengths: number
  /** Framing values keep the white space around them: parsers disagree on tabs there. */
  contentLength: string | undefined
  transferEncodings: number
  transferEncoding: string | undefined
  connection: readonly string[]
  upgradeProtocols: readonly string[]
  expect: string | undefined
}

const none: readonly string[] = Object.freeze([])

/**
 * Reads the field lines of a head from `start` to `end`, where `end` lies behind the CRLF of the last line
 * (RFC 9112 section 5). `text` is the head in latin1: bytes are scanned, strings are cut from it. Answers the
 * reason when the fields must be refused.
 */
export function parseFields(
  bytes: Buffer,
  text: string,
  { start, end, maxHeaders }: { start: number; end: number; maxHeaders: number },
): Fields | string {
  const fields: Fields = {
    headers: [],
    hosts: 0,
    host: undefined,
    contentLengths: 0,
    contentLength: undefined,
    transferEncodings: 0,
    transferEncoding: undefined,
    connection: none,
    upgradeProtocols: none,
    expect: undefined,
  }
  const source = { bytes, text }
  let lineStart = start
  while (lineStart < end) {
    let nameEnd = lineStart
    let hash = hashSeed
    for (let byte = bytes[nameEnd]!; tokenCharacters[byte] === 1; byte = bytes[nameEnd]!) {
      hash = hashStep(hash, byte)
      nameEnd += 1
    }
    if (nameEnd === lineStart) return isBlank(bytes[lineStart]!) ? 'folded header' : 'illegal header name'
    if (bytes[nameEnd] !== COLON) {
      return isBlank(bytes[nameEnd]!) ? 'white space in or after a header name' : 'illegal header name'
    }
    const lineEnd = skip(valueCharacters, bytes, nameEnd + 1)
    if (bytes[lineEnd] !== CR) return 'control character in a header value'
    if (bytes[lineEnd + 1] !== LF) return 'bare CR in a header'
    let valueStart = nameEnd + 1
    let valueEnd = lineEnd
    while (valueStart < valueEnd && isBlank(bytes[valueStart]!)) valueStart += 1
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd -= 1
    if (fields.headers.length === maxHeaders) return 'too many headers'
    const name =
      frequentName(bytes, lineStart, { end: nameEnd, hash }) ?? fieldName(text.slice(lineStart, nameEnd))
    const place = { lineStart, valueStart, valueEnd, lineEnd: lineEnd + 2 }
    const header = new ParsedHeader(name, source, place)
    fields.headers.push(header)
    if (name.role !== undefined) note(fields, name.role, header.value, text.slice(nameEnd + 1, lineEnd))
    lineStart = lineEnd + 2
  }
  return fields
}

function note(fields: Fields, role: Role, value: string, untrimmed: string): void {
  switch (role) {
    case 'content-length':
      fields.contentLengths += 1
      fields.contentLength = untrimmed
      break
    case 'transfer-encoding':
      fields.transferEncodings += 1
      fields.transferEncoding = untrimmed
      break
    case 'host':
      fields.hosts += 1
      fields.host = value
      break
    case 'connection':
      fields.connection = [...fields.connection, ...listOf(value)]
      break
    case 'upgrade':
      fields.upgradeProtocols = [...fields.upgradeProtocols, ...listOf(value)]
      break
    case 'expect':
      fields.expect = fields.expect === undefined ? value : `${fields.expect}, ${value}`
      break
  }
}

/** The elements of a comma-separated list, lower-case, empty ones left out (RFC 9110 section 5.6.1). */
function listOf(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(trimmed)
    .filter((element) => element !== '')
}

/** Without the white space around it: that of HTTP, as a character stands for a byte and 0xA0 is no space. */
function trimmed(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start += 1
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

/** Whether the byte before the line feed at `at` is not a carriage return. */
export function isBareLf(buffer: Uint8Array, at: number): boolean {
  return at === 0 || buffer[at - 1] !== CR
}
