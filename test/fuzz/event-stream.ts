import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { isFault } from '#base/errors'
import { formatEventHeaders, formatEventMessage, openEventStreamParser } from '#wire/event-stream'
import type { Random } from './random.ts'
import { bytesOf, type Target } from './target.ts'

interface Parsed {
  readonly outcome: string
  readonly bytes: Buffer
}

function parse(input: Buffer, random?: Random): Parsed {
  const parser = openEventStreamParser({ maxMessageBytes: 2048 })
  const written: Buffer[] = []
  let types = ''
  try {
    for (let at = 0; at < input.length;) {
      const end = random ? Math.min(input.length, at + 1 + random.below(16)) : input.length
      for (const { headers, payload } of parser.push(input.subarray(at, end))) {
        written.push(formatEventMessage(formatEventHeaders(headers), payload))
        types = headers.map(({ type }) => type).join('')
      }
      at = end
    }
  } catch (error) {
    if (!isFault(error)) throw error
    return { outcome: error.message.replace(/\d+/g, 'N'), bytes: Buffer.alloc(0) }
  }
  const rest = parser.held > 0 ? 'rest' : 'no rest'
  return {
    outcome: `${Math.min(written.length, 3)} messages, ${types}, ${rest}`,
    bytes: Buffer.concat(written),
  }
}

/** Writes right check sums into the first message, without which hardly any mutation would get anywhere. */
function mended(input: Buffer): Buffer {
  if (input.length < 16) return input
  const bytes = Buffer.from(input)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8)
  const end = bytes.readUInt32BE(0) - 4
  if (end >= 12 && end + 4 <= bytes.length) bytes.writeUInt32BE(crc32(bytes.subarray(0, end)), end)
  return bytes
}

/** What is accepted is written again byte by byte, and how it was cut into pieces does not matter. */
export const eventStreamTarget: Target = {
  name: 'event-stream',
  tokens: bytesOf('\u0001a\u0007\0\u0003abc', ':date\u0008', '\0\0\0\u0010', '\0\0\0\0', '\u0001b\0'),
  check(input, random) {
    const bytes = mended(input)
    const whole = parse(bytes)
    assert.deepEqual(parse(bytes, random), whole)
    assert(bytes.subarray(0, whole.bytes.length).equals(whole.bytes))
    return whole.outcome
  },
}
