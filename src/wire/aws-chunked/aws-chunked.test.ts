import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openAwsChunkedParser, parseTail } from './index.ts'

const signature = 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648'

/** What a body is parsed to, one line a part; data is joined. */
function parse(body: string | Buffer, pieceBytes = Infinity): string[] {
  const bytes = Buffer.from(body)
  const seen: string[] = []
  let data = ''
  const parser = openAwsChunkedParser({
    chunk: ({ size, sizeText, signature: signed = 'unsigned' }) => seen.push(`${size} ${sizeText} ${signed}`),
    data: (part) => (data += part.toString('latin1')),
    chunkEnd() {
      seen.push(data)
      data = ''
    },
  })
  for (let at = 0; at < bytes.length; at += pieceBytes) parser.push(bytes.subarray(at, at + pieceBytes))
  return [...seen, parser.finish()]
}

function assertMalformed(body: string, message: RegExp): void {
  for (const pieceBytes of [1, Infinity]) {
    assert.throws(() => parse(body, pieceBytes), { code: 'WIRE_MALFORMED', message })
  }
}

test('signed chunks come out with their sizes as written, their signatures and their data', () => {
  const body = `00A;chunk-signature=${signature}\r\n0123\r\n6789\r\n0;chunk-signature=${signature}\r\n\r\n`
  for (const pieceBytes of [1, 7, Infinity]) {
    assert.deepEqual(parse(body, pieceBytes), [
      `10 00A ${signature}`,
      '0123\r\n6789',
      `0 0 ${signature}`,
      '\r\n',
    ])
  }
})

test('unsigned chunks with trailers come out too', () => {
  const tail = 'x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n'
  assert.deepEqual(parse(`5\r\nhello\r\n0\r\n${tail}`, 3), ['5 5 unsigned', 'hello', '0 0 unsigned', tail])
})

test('however a body is cut into chunks and pieces, its data comes out whole', () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 })
  fc.assert(
    fc.property(chunks, fc.integer({ min: 1, max: 50 }), (parts, pieceBytes) => {
      const framed = parts.map((part) => [
        Buffer.from(`${part.length.toString(16)};chunk-signature=${signature}\r\n`),
        part,
        Buffer.from('\r\n'),
      ])
      const last = Buffer.from(`0;chunk-signature=${signature}\r\n\r\n`)
      const seen = parse(Buffer.concat([...framed.flat(), last]), pieceBytes)
      const data = seen.filter((_, index) => index % 2 === 1).slice(0, parts.length)
      assert.deepEqual(
        data,
        parts.map((part) => Buffer.from(part).toString('latin1')),
      )
    }),
  )
})

test('what is no chunk header is refused', () => {
  for (const header of [
    '',
    ' 5',
    '5 ',
    '-5',
    '0x5',
    '+5',
    '5;',
    '5;chunk-signature=',
    `5;chunk-signature=${signature.slice(1)}`,
    `5;chunk-signature=${signature.toUpperCase()}`,
    `5; chunk-signature=${signature}`,
    `5;chunk-signature=${signature};a=b`,
    '5;a=b',
    '00000000000005',
    'fffffffffffff0',
  ]) {
    assertMalformed(`${header}\r\nhello\r\n0\r\n\r\n`, /malformed chunk header/)
  }
  assertMalformed('5\nhello\r\n0\r\n\r\n', /bare LF in a chunk header/)
  assertMalformed('5'.repeat(300), /chunk header without end/)
})

test('a chunk that is longer than its size, and a body that breaks off, are refused', () => {
  assertMalformed('5\r\nhello!\r\n0\r\n\r\n', /chunk longer than its size/)
  assertMalformed('5\r\nhello\n\n0\r\n\r\n', /chunk longer than its size/)
  for (const cut of ['', '5', '5\r\n', '5\r\nhel', '5\r\nhello', '5\r\nhello\r\n', '5\r\nhello\r\n0']) {
    assertMalformed(cut, /it ends before its last chunk/)
  }
  assertMalformed(`0\r\n${'a:b\r\n'.repeat(4000)}\r\n`, /too much behind the last chunk/)
})

test('trailers are read in each form that is in use, and their text is kept', () => {
  const label = 'x-amz-trailer-signature:'
  for (const [text, trailers, signed] of [
    ['\r\n', [], ''],
    ['x-amz-checksum-crc32:AAAAAA==\r\n\r\n', ['x-amz-checksum-crc32=AAAAAA=='], ''],
    // As the clients of MinIO send them, unsigned and signed.
    ['x-amz-checksum-crc32:AAAAAA==\n\r\n\r\n', ['x-amz-checksum-crc32=AAAAAA=='], ''],
    [`a:b\n\r\n${label}${signature}\r\n\r\n`, ['a=b'], signature],
    // As AWS's clients send them.
    [`A : b c\t\r\nd:\r\nX-Amz-Trailer-Signature: ${signature}\r\n\r\n`, ['a=b c', 'd='], signature],
  ] as const) {
    const tail = parseTail(text)
    assert.deepEqual(
      tail.trailers.map(({ name, value }) => `${name}=${value}`),
      trailers,
    )
    assert.equal(tail.signature, signed)
    assert.equal(tail.before + tail.signature + tail.after, text)
  }
})

test('malformed trailers are refused', () => {
  for (const [text, message] of [
    ['', /cut off/],
    ['a:b', /cut off/],
    ['a:b\r\n', /no empty line/],
    ['a\r\n\r\n', /malformed line/],
    [':b\r\n\r\n', /malformed line/],
    ['a:b\rc\r\n\r\n', /malformed line/],
    ['a:b\u0000\r\n\r\n', /malformed line/],
    ['a:b\r\nA:c\r\n\r\n', /repeated name/],
    ['x-amz-trailer-signature:abc\r\n\r\n', /malformed signature/],
    [`x-amz-trailer-signature:${signature}\r\na:b\r\n\r\n`, /a line behind the signature/],
  ] as const) {
    assert.throws(() => parseTail(text), { code: 'WIRE_MALFORMED', message })
  }
})
