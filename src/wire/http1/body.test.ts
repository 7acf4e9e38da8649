import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isFault } from '#base/errors'
import { plainHeaders } from './fixture.ts'
import { decodeChunked, openBodyScanner, type Framing } from './index.ts'

interface Outcome {
  consumed: number
  done: boolean
  payload: string
}

/** Scans `text` in pieces that end at `cuts`. */
function scan(framing: Framing, text: string, cuts: readonly number[] = []): Outcome | 'malformed' {
  const bytes = Buffer.from(text, 'latin1')
  const scanner = openBodyScanner(framing)
  let payload = ''
  let consumed = 0
  const ends = [...new Set([...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort((a, b) => a - b)
  try {
    for (const end of ends) {
      const piece = bytes.subarray(consumed, end)
      consumed += scanner.scan(piece, (part) => (payload += part.toString('latin1'))).consumed
      if (scanner.done) break
    }
  } catch (error) {
    assert.ok(isFault(error, 'WIRE_MALFORMED'), String(error))
    return 'malformed'
  }
  return { consumed, done: scanner.done, payload }
}

const chunked = { kind: 'chunked' } as const

test('an empty body is done before anything is scanned', () => {
  assert.equal(openBodyScanner({ kind: 'none' }).done, true)
  assert.equal(openBodyScanner({ kind: 'length', bytes: 0 }).done, true)
  assert.deepEqual(scan({ kind: 'none' }, 'GET '), { consumed: 0, done: true, payload: '' })
})

test('a body of declared length ends there', () => {
  assert.deepEqual(scan({ kind: 'length', bytes: 3 }, 'abcd'), { consumed: 3, done: true, payload: 'abc' })
  assert.deepEqual(scan({ kind: 'length', bytes: 3 }, 'ab', [1]), { consumed: 2, done: false, payload: 'ab' })
})

test('a body until the end of the connection never ends by itself', () => {
  assert.deepEqual(scan({ kind: 'until-close' }, 'abc'), { consumed: 3, done: false, payload: 'abc' })
})

test('a chunked body ends behind its trailers, and its payload comes without framing', () => {
  const text = '3;ext="a;b"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-Checksum: 1\r\n\r\n'
  assert.deepEqual(scan(chunked, `${text}GET /`), {
    consumed: text.length,
    done: true,
    payload: 'abc0123456789',
  })
  assert.deepEqual(decodeChunked(Buffer.from(`${text}x`)), {
    payload: Buffer.from('abc0123456789'),
    length: text.length,
  })
  assert.equal(decodeChunked(Buffer.from(text.slice(0, -1))), undefined)
})

test('the trailers of a chunked body are known once it is done', () => {
  const scanner = openBodyScanner(chunked)
  scanner.scan(Buffer.from('1\r\na\r\n0\r\nGrpc-Status: 0\r\n'))
  assert.deepEqual(scanner.trailers, [])
  scanner.scan(Buffer.from('\r\n'))
  assert.deepEqual(plainHeaders(scanner.trailers), [
    { name: 'grpc-status', rawName: 'Grpc-Status', value: '0' },
  ])
})

test('sums of the body and what signs them may stand behind it', () => {
  for (const name of ['x-amz-checksum-crc32', 'X-Amz-Checksum-SHA256', 'x-amz-trailer-signature']) {
    const text = `0\r\n${name}: x\r\n\r\n`
    assert.deepEqual(scan(chunked, text), { consumed: text.length, done: true, payload: '' })
  }
})

const attacks: [name: string, text: string][] = [
  ['no size', '\r\nabc\r\n'],
  ['a size of letters', 'g\r\n'],
  ['a negative size', '-1\r\n'],
  ['a signed size', '+1\r\na\r\n'],
  ['a size with prefix', '0x1\r\na\r\n'],
  ['a size with leading space', ' 1\r\na\r\n'],
  ['a size with trailing space', '1 \r\na\r\n'],
  ['a size beyond 2^53', '20000000000000\r\n'],
  ['a size that wraps around 2^64', '10000000000000003\r\n'],
  ['endless zeros', '0'.repeat(17)],
  ['a bare LF behind the size', '1\na\r\n0\r\n\r\n'],
  ['a bare CR behind the size', '1\ra\r\n'],
  ['a bare LF in an extension', '1;a\nb\r\na\r\n'],
  ['an extension without a name', '1;\r\n'],
  ['white space in an extension', '1;a =b\r\n'],
  ['an extension with an open quote', '1;a="b\r\n'],
  ['an extension with half a quote', '1;a9"b"\r\n'],
  ['a NUL in an extension', '1;\0\r\n'],
  ['a flood of extensions', `1;${'a'.repeat(16 * 1024 + 1)}`],
  ['a flood of small extensions', '1;aaaaaaaaaaaaaaa\r\nx\r\n'.repeat(1200)],
  ['data longer than its size', '1\r\nab\r\n'],
  ['a bare LF behind the data', '1\r\na\n0\r\n\r\n'],
  ['a bare CR behind the data', '1\r\na\rx'],
  ['a bare LF as the end', '0\r\n\n'],
  ['a bare LF in the trailers', '0\r\nA: b\n\r\n'],
  ['a bare CR in the trailers', '0\r\nA: b\rc\r\n\r\n'],
  ['a trailer without colon', '0\r\nnocolon\r\n\r\n'],
  ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
  ['a framing trailer', '0\r\nContent-Length: 1\r\n\r\n'],
  ['a routing trailer', '0\r\nHost: h\r\n\r\n'],
  ['an authentication trailer', '0\r\nAuthorization: x\r\n\r\n'],
  ['an authentication trailer of a proxy', '0\r\nProxy-Authorization: x\r\n\r\n'],
  ['a cookie as a trailer', '0\r\nCookie: x\r\n\r\n'],
  ['a key as a trailer', '0\r\nX-Api-Key: x\r\n\r\n'],
  ['a token of AWS as a trailer', '0\r\nX-Amz-Security-Token: x\r\n\r\n'],
  ['a date of AWS as a trailer', '0\r\nX-Amz-Date: x\r\n\r\n'],
  ['an ACL as a trailer', '0\r\nx-amz-acl: public-read\r\n\r\n'],
  ['too many trailers', `0\r\n${'a:\r\n'.repeat(65)}\r\n`],
  ['trailers too large', `0\r\nA: ${'b'.repeat(16 * 1024)}`],
]

for (const [name, text] of attacks) {
  test(`refused in a chunked body: ${name}`, () => {
    assert.equal(scan(chunked, text), 'malformed')
    const everywhere = Array.from({ length: text.length }, (_, at) => at)
    assert.equal(scan(chunked, text, everywhere), 'malformed')
  })
}

test('any split of a chunked body gives the same answer', () => {
  const chunk = fc
    .tuple(
      fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 }),
      fc.constantFrom('', ';a', ';b=c'),
    )
    .map(([data, extension]) => `${data.length.toString(16)}${extension}\r\n${data}\r\n`)
  const end = fc.constantFrom('0\r\n\r\n', '0\r\nX-A: b\r\n\r\n', '0\r\nnocolon\r\n\r\n', '0\r\n')
  const body = fc
    .tuple(fc.array(chunk), end, fc.constantFrom('', 'GET /'))
    .map((parts) => parts.flat().join(''))
  fc.assert(
    fc.property(body, fc.array(fc.nat(300)), (text, cuts) => {
      assert.deepEqual(scan(chunked, text, cuts), scan(chunked, text))
    }),
  )
})
