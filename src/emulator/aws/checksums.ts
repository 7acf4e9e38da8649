import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { AwsError } from './aws-error.ts'
import type { Call } from './call.ts'

const crc32cTable = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

function crc32c(data: Buffer): Buffer {
  let crc = 0xffffffff
  for (const byte of data) crc = (crcTableEntry(crc ^ byte) ^ (crc >>> 8)) >>> 0
  return uint32((crc ^ 0xffffffff) >>> 0)
}

const crcTableEntry = (index: number) => crc32cTable[index & 0xff] ?? 0

const crc64Table = Array.from({ length: 256 }, (_, byte) => {
  let crc = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n
  return crc
})

function crc64nvme(data: Buffer): Buffer {
  const ones = 0xffffffffffffffffn
  let crc = ones
  for (const byte of data) crc = (crc64Table[Number((crc ^ BigInt(byte)) & 0xffn)] ?? 0n) ^ (crc >> 8n)
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(crc ^ ones)
  return bytes
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const algorithms: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  'x-amz-checksum-crc32': (data) => uint32(crc32(data)),
  'x-amz-checksum-crc32c': crc32c,
  'x-amz-checksum-crc64nvme': crc64nvme,
  'x-amz-checksum-sha1': (data) => createHash('sha1').update(data).digest(),
  'x-amz-checksum-sha256': (data) => createHash('sha256').update(data).digest(),
}

/**
 * Verifies every digest that came with a body (Content-MD5, x-amz-checksum-* as header or announced trailer) and
 * returns the checksums to keep: header name -> base64.
 * @throws AwsError BadDigest, InvalidDigest, MalformedTrailerError
 */
export function verifyChecksums(call: Call): ReadonlyMap<string, string> {
  const md5 = call.headers.get('content-md5')
  if (md5 !== undefined && md5 !== createHash('md5').update(call.body).digest('base64')) {
    const valid = Buffer.from(md5, 'base64').length === 16
    throw valid
      ? new AwsError(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.')
      : new AwsError(400, 'InvalidDigest', 'The Content-MD5 you specified was invalid.')
  }
  const announced =
    call.headers
      .get('x-amz-trailer')
      ?.toLowerCase()
      .split(/\s*,\s*/) ?? []
  const arrived = [...call.trailers.keys()]
  if (
    announced.toSorted().join() !== arrived.toSorted().join() ||
    !arrived.every((name) => algorithms[name])
  ) {
    throw new AwsError(
      400,
      'MalformedTrailerError',
      'The request contained trailing data that was not well-formed',
    )
  }
  const checksums = new Map<string, string>()
  for (const [name, compute] of Object.entries(algorithms)) {
    const given = call.headers.get(name) ?? call.trailers.get(name)
    if (given === undefined) continue
    if (given !== compute(call.body).toString('base64')) {
      const algorithm = name.slice('x-amz-checksum-'.length).toUpperCase()
      throw new AwsError(
        400,
        'BadDigest',
        `The ${algorithm} you specified did not match the calculated checksum.`,
      )
    }
    checksums.set(name, given)
  }
  return checksums
}
