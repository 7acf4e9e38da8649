import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import { CR, LF, skip, valueCharacters } from './characters.ts'

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
 * SECURITY: checked although parsed headers cannot hold CR or LF: values that come from elsewhere are written
 * here too. The bytes are checked, not the text, as latin1 cuts a character such as U+010A down to a line feed.
 */
function formatHead(startLine: string, headers: readonly HeaderField[]): Buffer {
  let text = startLine
  for (const { name, rawName = name, value } of headers) {
    if (!token.test(rawName)) throw new Fault('WIRE_MALFORMED', 'header name to write is not a token')
    text += `${rawName}: ${value}\r\n`
  }
  const bytes = Buffer.from(`${text}\r\n`, 'latin1')
  let at = 0
  for (let lines = headers.length + 2; lines > 0; lines -= 1) {
    at = skip(valueCharacters, bytes, at)
    if (bytes[at] !== CR || bytes[at + 1] !== LF) break
    at += 2
  }
  if (at !== bytes.length) throw new Fault('WIRE_MALFORMED', 'control character in a head to write')
  return bytes
}
