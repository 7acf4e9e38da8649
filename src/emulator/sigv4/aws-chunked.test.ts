import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Secret } from '#base/secret'
import { decodeAwsChunked, type StreamingMode } from './aws-chunked.ts'
import { readClaim } from './claim.ts'
import { recompute } from './recompute.ts'

/** The examples of the S3 API reference, "Signature calculations for the Authorization header". */
const secretAccessKey = Secret.of('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')
const chunks = [Buffer.alloc(65_536, 'a'), Buffer.alloc(1024, 'a'), Buffer.alloc(0)]

async function seedOf(mode: StreamingMode, seedSignature: string, extra: [string, string][]) {
  const headers: [string, string][] = [
    ['host', 's3.amazonaws.com'],
    ['x-amz-date', '20130524T000000Z'],
    ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    ['x-amz-content-sha256', mode],
    ['content-encoding', 'aws-chunked'],
    ['x-amz-decoded-content-length', '66560'],
    ...extra,
  ]
  const signed = headers.map(([name]) => name).sort()
  const authorization =
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
    `SignedHeaders=${signed.join(';')}, Signature=${seedSignature}`
  const request = {
    method: 'PUT',
    target: '/examplebucket/chunkObject.txt',
    headers: [...headers, ['authorization', authorization] as const],
  }
  const reading = readClaim(request)
  assert.equal(reading.kind, 'claim')
  const seed = await recompute(request, {
    claim: reading.claim,
    secretAccessKey,
    payloadHash: mode,
    pathRule: 's3',
  })
  assert.equal(seed.matches, true)
  return { mode, claim: reading.claim, seed }
}

function encode(signatures: readonly string[], tail = '\r\n'): Buffer {
  const parts = chunks.flatMap((chunk, index) => [
    Buffer.from(`${chunk.length.toString(16)};chunk-signature=${signatures[index]}\r\n`),
    chunk,
    Buffer.from(chunk.length > 0 ? '\r\n' : ''),
  ])
  return Buffer.concat([...parts, Buffer.from(tail)])
}

describe('aws-chunked with signed chunks', async () => {
  const mode = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  const options = await seedOf(mode, '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9', [
    ['content-length', '66824'],
  ])
  const signatures = [
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ]

  test("AWS's published example is accepted", async () => {
    const reading = await decodeAwsChunked(encode(signatures), options)
    assert.equal(reading.kind === 'body' && reading.body.length, 66_560)
  })

  test('a wrong signature of any chunk is noticed, the last and empty one included', async () => {
    for (const index of signatures.keys()) {
      const forged = signatures.with(index, '0'.repeat(64))
      assert.equal((await decodeAwsChunked(encode(forged), options)).kind, 'signature-mismatch')
    }
  })

  test('changed data, swapped chunks and cut bodies are noticed', async () => {
    const good = encode(signatures)
    const changed = Buffer.from(good)
    changed[1000] = 0x62
    assert.equal((await decodeAwsChunked(changed, options)).kind, 'signature-mismatch')
    for (const cut of [1, 100, 66_000, good.length - 100]) {
      const { kind } = await decodeAwsChunked(good.subarray(0, cut), options)
      assert.notEqual(kind, 'body')
    }
    assert.equal((await decodeAwsChunked(Buffer.concat([good, good]), options)).kind, 'malformed')
  })

  test('an unsigned chunk among signed ones is malformed', async () => {
    const encoded = Buffer.from('5\r\nhello\r\n0\r\n\r\n')
    assert.equal((await decodeAwsChunked(encoded, options)).kind, 'malformed')
  })
})

describe('aws-chunked with a signed trailer', async () => {
  const mode = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
  const options = await seedOf(mode, '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e', [
    ['x-amz-trailer', 'x-amz-checksum-crc32c'],
  ])
  const signatures = [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ]
  const tail = (checksum: string, signature: string) =>
    `x-amz-checksum-crc32c:${checksum}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`
  const signature = 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435'

  test("AWS's published example is accepted", async () => {
    const reading = await decodeAwsChunked(encode(signatures, tail('sOO8/Q==', signature)), options)
    assert.equal(reading.kind === 'body' && reading.trailers.get('x-amz-checksum-crc32c'), 'sOO8/Q==')
  })

  test('a changed trailer and a trailer without signature are noticed', async () => {
    for (const text of [tail('AAAAAA==', signature), 'x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n', '\r\n']) {
      assert.equal((await decodeAwsChunked(encode(signatures, text), options)).kind, 'signature-mismatch')
    }
  })

  test('all chunks but the last have 8 KiB', async () => {
    const encoded = Buffer.from('5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n')
    const unsigned = { ...options, mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' as const }
    assert.equal((await decodeAwsChunked(encoded, unsigned)).kind, 'chunk-too-small')
  })
})
