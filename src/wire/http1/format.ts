import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import { CR, LF, skip, valueCharacters } from './characters.ts'
import { ParsedHeader } from './header.ts'
import { fieldName } from './names.ts'

/** A header to write: in the case of `rawName` where there is one. */
export interface HeaderField {
  readonly name: string
  readonly rawName?: string
  readonly value: string
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const writableTarget = /^[!"$-[\]-~]+$/

/** The bytes of a request head. @throws Fault WIRE_MALFORMED when a part would break out of its place */
export function formatRequestHead({
  method,
  target,
  headers,
}: {
  method: string
  target: string
  headers: readonly HeaderField[]
}): Buffer {
  if (!token.test(method)) throw new Fault('WIRE_MALFORMED', 'method to write is not a token')
  if (!writableTarget.test(target)) {
    throw new Fault('WIRE_MALFORMED', 'illegal character in the target to write')
  }
  return formatHead(`${method} ${target} HTTP/1.1\r\n`, headers)
}

/** The bytes of a response head. @throws Fault WIRE_MALFORMED when a part would break out of its place */
export function formatResponseHead({
  status,
  reason = '',
  headers,
}: {
  status: number
  reason?: string
  headers: readonly HeaderField[]
}): Buffer {
  if (!Number.isInteger(status) || status < 100 || status > 599) {
    throw new Fault('WIRE_MALFORMED', 'status to write is not between 100 and 599')
  }
  return formatHead(`HTTP/1.1 ${status} ${reason}\r\n`, headers)
}

/** A header to write many times: it is judged once. @throws Fault WIRE_MALFORMED */
export function prepareHeader(name: string, value: string): HeaderField {
  const text = lineOf({ name, value })
  const bytes = Buffer.allocUnsafe(text.length)
  writeLines(bytes, text, { at: 0, lines: 1 })
  const valueStart = name.length + 2
  const place = { lineStart: 0, valueStart, valueEnd: text.length - 2, lineEnd: text.length }
  return new ParsedHeader(fieldName(name), { bytes, text }, place)
}

/**
 * SECURITY: what was read has been judged when it was read, and goes out as the bytes that were judged. Everything
 * else is checked here, by its bytes: latin1 cuts a character such as U+010A down to a line feed.
 */
function formatHead(startLine: string, headers: readonly HeaderField[]): Buffer {
  let size = startLine.length + 2
  for (const header of headers) size += isCopied(header) ? header.lineEnd - header.lineStart : sizeOf(header)
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  let text = startLine
  let lines = 1
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!
    if (!isCopied(header)) {
      text += lineOf(header)
      lines += 1
      continue
    }
    if (lines > 0) at = writeLines(bytes, text, { at, lines })
    text = ''
    lines = 0
    // Lines that stood one behind the other are copied in one.
    const { source, lineStart } = header
    let { lineEnd } = header
    for (; index + 1 < headers.length; index += 1) {
      const next = headers[index + 1]!
      if (!isCopied(next) || next.source !== source || next.lineStart !== lineEnd) break
      lineEnd = next.lineEnd
    }
    at += source.bytes.copy(bytes, at, lineStart, lineEnd)
  }
  if (lines > 0) at = writeLines(bytes, text, { at, lines })
  bytes[at] = CR
  bytes[at + 1] = LF
  return bytes
}

function lineOf({ name, rawName = name, value }: HeaderField): string {
  if (!token.test(rawName)) throw new Fault('WIRE_MALFORMED', 'header name to write is not a token')
  return `${rawName}: ${value}\r\n`
}

function isCopied(header: HeaderField): header is ParsedHeader {
  return header instanceof ParsedHeader && header.isPlain
}

function sizeOf({ name, rawName = name, value }: HeaderField): number {
  return rawName.length + value.length + 4
}

/** Writes so many lines, each with its CRLF, and returns where they end. */
function writeLines(bytes: Buffer, text: string, { at, lines }: { at: number; lines: number }): number {
  const end = at + bytes.write(text, at, 'latin1')
  let lineEnd = at
  for (let left = lines; left > 0; left -= 1) {
    lineEnd = skip(valueCharacters, bytes, lineEnd)
    if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) break
    lineEnd += 2
  }
  if (lineEnd !== end) throw new Fault('WIRE_MALFORMED', 'control character in a head to write')
  return end
}
