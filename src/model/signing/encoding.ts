import { Buffer } from 'node:buffer'
import { hexDigit } from '#wire/http1'

const unreserved = /^[A-Za-z0-9._~-]*$/
const unreservedPath = /^[A-Za-z0-9._~/-]*$/

/** How each byte stands in a canonical request: itself when unreserved (RFC 3986 section 2.3), else `%XX`. */
const encodedBytes: readonly string[] = Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code)
  return unreserved.test(character) ? character : `%${code.toString(16).toUpperCase().padStart(2, '0')}`
})

/** Percent-encodes every byte (of the UTF-8 form) but the unreserved ones and `/`. */
export function encodePath(path: string): string {
  return unreservedPath.test(path) ? path : encodePathBytes(Buffer.from(path, 'utf8'))
}

/** The canonical form of a key in a path: decoded once, then encoded, `/` kept, as S3 comes to see it. */
export function recodePath(path: string): string {
  return unreservedPath.test(path) ? path : encodePathBytes(decodeBytes(path))
}

/** The same for a name or value of a query. `+` stands for a space there, as SDKs and services read it. */
export function recodeQuery(text: string): string {
  if (unreserved.test(text)) return text
  let encoded = ''
  for (const byte of decodeBytes(text.replaceAll('+', ' '))) encoded += encodedBytes[byte]!
  return encoded
}

function encodePathBytes(bytes: Uint8Array): string {
  let encoded = ''
  for (const byte of bytes) encoded += byte === 0x2f ? '/' : encodedBytes[byte]!
  return encoded
}

/** Undoes percent-encoding; a `%` without two hexadecimal digits stands for itself. */
export function decodeBytes(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8')
  let length = 0
  for (let at = 0; at < bytes.length; at += 1, length += 1) {
    const byte = bytes[at]!
    const decoded = byte === 0x25 ? hexPair(bytes[at + 1], bytes[at + 2]) : -1
    bytes[length] = decoded < 0 ? byte : decoded
    if (decoded >= 0) at += 2
  }
  return bytes.subarray(0, length)
}

function hexPair(high = 0, low = 0): number {
  const [first, second] = [hexDigit(high), hexDigit(low)]
  return first < 0 || second < 0 ? -1 : first * 16 + second
}
