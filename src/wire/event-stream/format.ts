import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { eventHeaderTypes, type EventHeader } from './headers.ts'

/** Lengths and their check sum in front, the check sum of it all behind. */
const preludeBytes = 12
const checksumBytes = 4

/** The bytes of headers in their order. */
export function formatEventHeaders(headers: readonly EventHeader[]): Buffer {
  return Buffer.concat(headers.flatMap(({ name, type, value }) => [headerStart(name, type, value), value]))
}

function headerStart(name: string, type: number, value: Buffer): Buffer {
  const nameBytes = Buffer.from(name, 'utf8')
  const stated = type === eventHeaderTypes.bytes || type === eventHeaderTypes.text
  const start = Buffer.alloc(nameBytes.length + (stated ? 4 : 2))
  start.writeUInt8(nameBytes.length, 0)
  nameBytes.copy(start, 1)
  start.writeUInt8(type, nameBytes.length + 1)
  if (stated) start.writeUInt16BE(value.length, nameBytes.length + 2)
  return start
}

/** The bytes of a message with headers that have been formatted. */
export function formatEventMessage(headers: Buffer, payload: Buffer): Buffer {
  const total = preludeBytes + headers.length + payload.length + checksumBytes
  const message = Buffer.allocUnsafe(total)
  message.writeUInt32BE(total, 0)
  message.writeUInt32BE(headers.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  headers.copy(message, preludeBytes)
  payload.copy(message, preludeBytes + headers.length)
  message.writeUInt32BE(crc32(message.subarray(0, total - checksumBytes)), total - checksumBytes)
  return message
}
