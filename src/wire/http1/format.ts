import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import { CR, LF, skip, valueCharacters } from './characters.ts'
import { ParsedHeader } from './header.ts'

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

/**
 * SECURITY: what was read has been judged when it was read, and goes out as the bytes that were judged. Everything
 * else is checked here, by its bytes: latin1 cuts a character such as U+010A down to a line feed.
 */
function formatHead(startLine: string, headers: readonly HeaderField[]): Buffer {
  let size = startLine.length + 2
  for (const header of headers) size += isCopied(header) ? header.lineEnd - header.lineStart : sizeOf(header)
  const bytes = Buffer.allocUnsafe(size)
  let at = writeLine(bytes, startLine, 0)
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!
    if (!isCopied(header)) {
      const { name, rawName = name, value } = header
      if (!token.test(rawName)) throw new Fault('WIRE_MALFORMED', 'header name to write is not a token')
      at = writeLine(bytes, `${rawName}: ${value}\r\n`, at)
      continue
    }
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
  bytes[at] = CR
  bytes[at + 1] = LF
  return bytes
}

function isCopied(header: HeaderField): header is ParsedHeader {
  return header instanceof ParsedHeader && header.isPlain
}

function sizeOf({ name, rawName = name, value }: HeaderField): number {
  return rawName.length + value.length + 4
}

/** Writes a line with its CRLF and returns where it ends. */
function writeLine(bytes: Buffer, line: string, at: number): number {
  const end = at + bytes.write(line, at, 'latin1')
  if (skip(valueCharacters, bytes, at) !== end - 2) {
    throw new Fault('WIRE_MALFORMED', 'control character in a head to write')
  }
  return end
}
