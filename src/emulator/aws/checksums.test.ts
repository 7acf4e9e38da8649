import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Call } from './call.ts'
import { verifyChecksums } from './checksums.ts'

const body = Buffer.from('123456789')
/** Check values of the CRC catalogue for "123456789", in base64. */
const known = {
  'x-amz-checksum-crc32': Buffer.from('cbf43926', 'hex').toString('base64'),
  'x-amz-checksum-crc32c': Buffer.from('e3069283', 'hex').toString('base64'),
  'x-amz-checksum-crc64nvme': Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
}

function call(headers: Record<string, string>, trailers: Record<string, string> = {}): Call {
  return {
    method: 'PUT',
    segments: ['b', 'k'],
    query: new Map(),
    headers: new Map(Object.entries(headers)),
    trailers: new Map(Object.entries(trailers)),
    body,
    region: 'us-east-1',
    at: 0,
  }
}

describe('checksums of a body', () => {
  for (const [name, value] of Object.entries(known)) {
    test(`${name} is verified, as header and as trailer`, () => {
      assert.equal(verifyChecksums(call({ [name]: value })).get(name), value)
      assert.equal(verifyChecksums(call({ 'x-amz-trailer': name }, { [name]: value })).get(name), value)
      assert.throws(() => verifyChecksums(call({ [name]: 'AAAAAA==' })), { code: 'BadDigest' })
      assert.throws(() => verifyChecksums(call({ 'x-amz-trailer': name }, { [name]: 'AAAA' })), {
        code: 'BadDigest',
      })
    })
  }

  test('Content-MD5 is verified', () => {
    verifyChecksums(call({ 'content-md5': 'JfnnlDI7RTiF9RgfG2JNCw==' }))
    assert.throws(() => verifyChecksums(call({ 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' })), {
      code: 'BadDigest',
    })
    assert.throws(() => verifyChecksums(call({ 'content-md5': 'x' })), { code: 'InvalidDigest' })
  })

  test('a trailer that was not announced, is missing or is no checksum is refused', () => {
    const name = 'x-amz-checksum-crc32'
    for (const bad of [
      call({}, { [name]: known[name] }),
      call({ 'x-amz-trailer': name }),
      call({ 'x-amz-trailer': 'x-amz-meta-a' }, { 'x-amz-meta-a': '1' }),
    ]) {
      assert.throws(() => verifyChecksums(bad), { code: 'MalformedTrailerError' })
    }
  })
})
