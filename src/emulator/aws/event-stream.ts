import { crc32 } from 'node:zlib'

const preludeBytes = 8
const checksumBytes = 4
const stringType = 7

/**
 * Encodes one message of `application/vnd.amazon.eventstream`: lengths, their CRC-32, string headers, payload,
 * CRC-32 of everything (Smithy, "Amazon Event Stream specification").
 */
export function encodeEvent(headers: Readonly<Record<string, string>>, payload: string): Buffer {
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => encodeHeader(name, value)))
  const body = Buffer.from(payload)
  const total = preludeBytes + checksumBytes + head.length + body.length + checksumBytes
  const prelude = Buffer.alloc(preludeBytes)
  prelude.writeUInt32BE(total, 0)
  prelude.writeUInt32BE(head.length, 4)
  const message = Buffer.concat([prelude, checksum(prelude), head, body])
  return Buffer.concat([message, checksum(message)])
}

function encodeHeader(name: string, value: string): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([
    Buffer.from([name.length]),
    Buffer.from(name),
    Buffer.from([stringType]),
    length,
    bytes,
  ])
}

function checksum(data: Buffer): Buffer {
  const bytes = Buffer.alloc(checksumBytes)
  bytes.writeUInt32BE(crc32(data))
  return bytes
}
