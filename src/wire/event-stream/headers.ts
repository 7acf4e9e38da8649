import { isUtf8, type Buffer } from 'node:buffer'
import { Fault } from '#base/errors'

export interface EventHeader {
  readonly name: string
  /** One of `eventHeaderTypes`. */
  readonly type: number
  /** The value as it stands on the wire, without the length that precedes some types. */
  readonly value: Buffer
}

export const eventHeaderTypes = { bytes: 6, text: 7, timestamp: 8 } as const

/** Length of a value by type: true, false, byte, short, integer, long, bytes, text, timestamp, UUID. */
const lengths: readonly (number | 'stated')[] = [0, 0, 1, 2, 4, 8, 'stated', 'stated', 8, 16]

function malformed(reason: string): never {
  throw new Fault('WIRE_MALFORMED', `event stream: ${reason}`)
}

/** The headers of a message, as views of `block`. @throws Fault WIRE_MALFORMED */
export function parseEventHeaders(block: Buffer): EventHeader[] {
  const headers: EventHeader[] = []
  let at = 0
  const take = (count: number) => {
    if (count > block.length - at) malformed('header cut off')
    at += count
    return block.subarray(at - count, at)
  }
  while (at < block.length) {
    const nameLength = take(1)[0]!
    if (nameLength === 0) malformed('header without a name')
    const nameBytes = take(nameLength)
    if (!isUtf8(nameBytes)) malformed('header name is not UTF-8')
    const name = nameBytes.toString('utf8')
    if (headers.some((header) => header.name === name)) malformed('repeated header')
    const type = take(1)[0]!
    const length = lengths[type] ?? malformed('header of an unknown type')
    headers.push({ name, type, value: take(length === 'stated' ? take(2).readUInt16BE() : length) })
  }
  return headers
}
