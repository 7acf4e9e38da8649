import assert from 'node:assert/strict'
import { isFault } from '#base/errors'
import { openAwsChunkedParser, parseTail } from '#wire/aws-chunked'
import type { Random } from './random.ts'
import { bytesOf, type Target } from './target.ts'

interface Parsed {
  readonly outcome: string
  /** The body, put together again from what the parser told of it. */
  readonly text: string
}

/** Parses a body in pieces of random sizes, or in one when no `random` is given. */
function parse(input: Buffer, random?: Random): Parsed {
  let text = ''
  let chunks = 0
  let signatures = 0
  const parser = openAwsChunkedParser({
    chunk({ size, sizeText, signature }) {
      assert.equal(size, Number.parseInt(sizeText, 16))
      chunks += 1
      if (signature !== undefined) signatures += 1
      text += `${sizeText}${signature === undefined ? '' : `;chunk-signature=${signature}`}\r\n`
    },
    data: (bytes) => (text += bytes.toString('latin1')),
    chunkEnd: () => (text += '\r\n'),
  })
  try {
    for (let at = 0; at < input.length;) {
      const end = random ? Math.min(input.length, at + 1 + random.below(8)) : input.length
      parser.push(input.subarray(at, end))
      at = end
    }
    const tail = parseTail(parser.finish())
    text += tail.before + tail.signature + tail.after
    for (const { name, value } of tail.trailers) assert.match(`${name}:${value}`, /^[!-9;-~]+:[\t -~]*$/)
    const signed = `${Math.min(signatures, 2)} signed, trailers ${tail.trailers.length > 0}`
    return { outcome: `${Math.min(chunks, 3)} chunks, ${signed}, signature ${tail.signature !== ''}`, text }
  } catch (error) {
    if (!isFault(error, 'WIRE_MALFORMED')) throw error
    return { outcome: error.message, text: '' }
  }
}

/** What is accepted is understood to the byte: a chunk that is signed anew must not change anything else. */
export const awsChunkedTarget: Target = {
  name: 'aws-chunked',
  tokens: bytesOf(
    '\r\n',
    '0;chunk-signature=',
    ';chunk-signature=',
    `5;chunk-signature=${'a'.repeat(64)}\r\nhello\r\n`,
    'x-amz-checksum-crc32:AAAAAA==\r\n',
    `x-amz-trailer-signature:${'b'.repeat(64)}\r\n`,
    '*'.repeat(80),
    '\n\r\n',
  ),
  check(input, random) {
    const whole = parse(input)
    assert.deepEqual(parse(input, random), whole)
    if (whole.text !== '') assert.equal(whole.text, input.toString('latin1'))
    return whole.outcome
  },
}
