import { Buffer } from 'node:buffer'
import { Fault } from '#base/errors'
import { consistsOf, isToken, targetCharacters, valueCharacters } from './characters.ts'

/** A header to write: in the case of `rawName` where there is one. */
export interface HeaderField {
  readonly name: string
  readonly rawName?: string
  readonly value: string
}

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
  if (!isToken(method)) throw new Fault('WIRE_MALFORMED', 'method to write is not a token')
  if (target === '' || !consistsOf(targetCharacters, target)) {
    throw new Fault('WIRE_MALFORMED', 'illegal character in the target to write')
  }
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${formatFields(headers)}\r\n`, 'latin1')
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
  if (!consistsOf(valueCharacters, reason)) {
    throw new Fault('WIRE_MALFORMED', 'illegal character in the reason to write')
  }
  return Buffer.from(`HTTP/1.1 ${status} ${reason}\r\n${formatFields(headers)}\r\n`, 'latin1')
}

/**
 * SECURITY: checked although parsed headers cannot hold CR or LF: values that come from elsewhere are written
 * here too, and above latin1 a character such as U+010A would be cut down to a line feed.
 */
function formatFields(headers: readonly HeaderField[]): string {
  let text = ''
  for (const { name, rawName = name, value } of headers) {
    if (!isToken(rawName)) throw new Fault('WIRE_MALFORMED', 'header name to write is not a token')
    if (!consistsOf(valueCharacters, value)) {
      throw new Fault('WIRE_MALFORMED', `illegal character in the value of ${name} to write`)
    }
    text += `${rawName}: ${value}\r\n`
  }
  return text
}
