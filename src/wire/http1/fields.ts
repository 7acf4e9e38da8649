import { consistsOf, CR, HTAB, LF, SP, tokenCharacters, valueCharacters } from './characters.ts'
import type { Header } from './head.ts'

/** The fields of a head, with those that decide over framing and routing picked out on the way. */
export interface Fields {
  readonly headers: Header[]
  hosts: number
  host: string | undefined
  contentLengths: number
  contentLength: string | undefined
  transferEncodings: number
  transferEncoding: string | undefined
  connection: readonly string[]
  upgradeProtocols: readonly string[]
  expect: string | undefined
}

const none: readonly string[] = Object.freeze([])

/**
 * Reads the field lines of `text` from `start` to `end`, where `end` lies behind the CRLF of the last line
 * (RFC 9112 section 5). Answers the reason when they must be refused.
 */
export function parseFields(text: string, start: number, end: number, maxHeaders: number): Fields | string {
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
  let at = start
  while (at < end) {
    const nameStart = at
    while (tokenCharacters[text.charCodeAt(at)] === 1) at += 1
    if (at === nameStart) return isBlank(text.charCodeAt(at)) ? 'folded header' : 'illegal header name'
    if (text.charCodeAt(at) !== 0x3a) {
      return isBlank(text.charCodeAt(at)) ? 'white space in or after a header name' : 'illegal header name'
    }
    const nameEnd = at
    const lineEnd = text.indexOf('\r', at)
    if (lineEnd < 0 || lineEnd >= end || text.charCodeAt(lineEnd + 1) !== LF) return 'bare CR in a header'
    let valueStart = at + 1
    let valueEnd = lineEnd
    while (valueStart < valueEnd && isBlank(text.charCodeAt(valueStart))) valueStart += 1
    while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd -= 1
    if (!consistsOf(valueCharacters, text, valueStart, valueEnd)) return 'control character in a header value'
    if (fields.headers.length === maxHeaders) return 'too many headers'
    const rawName = text.slice(nameStart, nameEnd)
    const header = { name: rawName.toLowerCase(), rawName, value: text.slice(valueStart, valueEnd) }
    fields.headers.push(header)
    note(fields, header)
    at = lineEnd + 2
  }
  return fields
}

function note(fields: Fields, { name, value }: Header): void {
  switch (name) {
    case 'host':
      fields.hosts += 1
      fields.host = value
      break
    case 'content-length':
      fields.contentLengths += 1
      fields.contentLength = value
      break
    case 'transfer-encoding':
      fields.transferEncodings += 1
      fields.transferEncoding = value
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
    .map((element) => element.trim())
    .filter((element) => element !== '')
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

/** Whether the byte before the line feed at `at` is not a carriage return. */
export function isBareLf(buffer: Uint8Array, at: number): boolean {
  return at === 0 || buffer[at - 1] !== CR
}
