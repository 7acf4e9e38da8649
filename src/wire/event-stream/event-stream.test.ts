import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import {
  eventHeaderTypes,
  formatEventHeaders,
  formatEventMessage,
  openEventStreamParser,
  parseEventHeaders,
} from './index.ts'

/** Test vectors of the specification. */
const published = {
  empty: '000000100000000005c248eb7d98c8ff',
  payload: '0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936',
  header:
    '0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e' +
    '7b27666f6f273a27626172277d8d9c08b1',
}
const limits = { maxMessageBytes: 1000 }

function parse(bytes: Buffer, pieceBytes = Infinity) {
  const parser = openEventStreamParser(limits)
  const messages = []
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    messages.push(...parser.push(bytes.subarray(at, at + pieceBytes)))
  }
  return { messages, held: parser.held }
}

test('the published messages are read and written, in any pieces', () => {
  const stream = Buffer.from(Object.values(published).join(''), 'hex')
  for (const pieceBytes of [1, 13, Infinity]) {
    const { messages, held } = parse(stream, pieceBytes)
    assert.equal(held, 0)
    assert.deepEqual(
      messages.map(({ bytes }) => bytes.toString('hex')),
      Object.values(published),
    )
    assert.deepEqual(
      messages.map(({ payload }) => payload.toString()),
      ['', "{'foo':'bar'}", "{'foo':'bar'}"],
    )
    const [header] = messages[2]!.headers
    assert.equal(`${header!.name}: ${header!.value.toString()}`, 'content-type: application/json')
    for (const { headers, payload, bytes } of messages) {
      assert(formatEventMessage(formatEventHeaders(headers), payload).equals(bytes))
    }
  }
})

const value = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))
const header = fc.oneof(
  fc.record({ type: fc.constantFrom(eventHeaderTypes.bytes, eventHeaderTypes.text), value }),
  fc
    .constantFrom([0, 0], [1, 0], [2, 1], [3, 2], [4, 4], [5, 8], [8, 8], [9, 16])
    .map(([type, length]) => ({ type, value: Buffer.alloc(length, 7) })),
)
const headers = fc
  .uniqueArray(fc.stringMatching(/^[:a-zé-]{1,12}$/), { maxLength: 5 })
  .chain((names) => fc.tuple(...names.map((name) => header.map((rest) => ({ name, ...rest })))))

test('what is written is read again', () => {
  fc.assert(
    fc.property(headers, value, fc.integer({ min: 1, max: 40 }), (given, payload, pieceBytes) => {
      const bytes = formatEventMessage(formatEventHeaders(given), payload)
      const { messages } = parse(Buffer.concat([bytes, bytes]), pieceBytes)
      assert.equal(messages.length, 2)
      for (const message of messages) {
        assert.deepEqual(message.headers, given)
        assert.deepEqual(message.payload, payload)
      }
    }),
  )
})

test('a changed byte anywhere is noticed', () => {
  const bytes = Buffer.from(published.header, 'hex')
  for (const at of bytes.keys()) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1
    assert.throws(() => parse(changed), { code: 'WIRE_MALFORMED' })
  }
})

test('lengths that cannot be are refused, and a message beyond the bound before it has come', () => {
  const prelude = (total: number, headerBytes: number) => {
    const bytes = Buffer.alloc(12)
    bytes.writeUInt32BE(total, 0)
    bytes.writeUInt32BE(headerBytes, 4)
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8)
    return bytes
  }
  for (const [total, headerBytes] of [
    [15, 0],
    [0, 0],
    [20, 5],
    [500_000, 200_000],
  ] as const) {
    assert.throws(() => parse(prelude(total, headerBytes)), { code: 'WIRE_MALFORMED' })
  }
  assert.throws(() => parse(prelude(1001, 0)), { code: 'WIRE_TOO_LARGE', message: /1001 bytes exceeds 1000/ })
})

test('malformed headers are refused', () => {
  for (const [hex, message] of [
    ['00', /without a name/],
    ['05616263', /cut off/],
    ['0161', /cut off/],
    ['01610a', /unknown type/],
    ['016108000000', /cut off/],
    ['016107000561', /cut off/],
    ['01ef00', /not UTF-8/],
    ['016100016100', /repeated/],
  ] as const) {
    assert.throws(() => parseEventHeaders(Buffer.from(hex, 'hex')), { code: 'WIRE_MALFORMED', message })
  }
})
