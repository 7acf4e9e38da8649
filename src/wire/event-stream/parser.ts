import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { Fault } from '#base/errors'
import { Gathering } from '#base/gathering'
import { parseEventHeaders, type EventHeader } from './headers.ts'

export interface EventMessage {
  readonly headers: readonly EventHeader[]
  readonly payload: Buffer
  /** All of the message as it came. */
  readonly bytes: Buffer
}

export interface EventStreamParser {
  /** Bytes of an unfinished message that it keeps: fewer than a message may have. */
  readonly held: number
  /** The messages that are complete with these bytes. @throws Fault WIRE_MALFORMED, WIRE_TOO_LARGE */
  push(bytes: Buffer): readonly EventMessage[]
}

const preludeBytes = 12
const checksumBytes = 4
/** What the specification allows for headers. */
const maxHeaderBytes = 128 * 1024

function malformed(reason: string): never {
  throw new Fault('WIRE_MALFORMED', `event stream: ${reason}`)
}

/** Parses one stream whose messages have at most `maxMessageBytes`. */
export function openEventStreamParser({ maxMessageBytes }: { maxMessageBytes: number }): EventStreamParser {
  // Joined only when enough is there: pieces may be much smaller than their message.
  let held = new Gathering()
  /** How much is there before the next step: a prelude, then the whole message. */
  let wanted = preludeBytes

  function readPrelude(prelude: Buffer): number {
    const total = prelude.readUInt32BE(0)
    const headers = prelude.readUInt32BE(4)
    if (prelude.readUInt32BE(8) !== crc32(prelude.subarray(0, 8))) malformed('wrong check sum of a prelude')
    if (headers > maxHeaderBytes) malformed('headers too large')
    if (total < preludeBytes + headers + checksumBytes) malformed('headers longer than their message')
    if (total > maxMessageBytes) {
      throw new Fault(
        'WIRE_TOO_LARGE',
        `event stream: a message of ${total} bytes exceeds ${maxMessageBytes}`,
      )
    }
    return total
  }

  return {
    get held() {
      return held.length
    },
    push(bytes) {
      const messages: EventMessage[] = []
      held.push(bytes)
      while (held.length >= wanted) {
        const { joined } = held
        wanted = readPrelude(joined)
        if (joined.length < wanted) break
        messages.push(readMessage(joined.subarray(0, wanted)))
        held = new Gathering()
        if (joined.length > wanted) held.push(joined.subarray(wanted))
        wanted = preludeBytes
      }
      return messages
    },
  }
}

function readMessage(bytes: Buffer): EventMessage {
  const end = bytes.length - checksumBytes
  if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(0, end))) malformed('wrong check sum of a message')
  const headersEnd = preludeBytes + bytes.readUInt32BE(4)
  const headers = parseEventHeaders(bytes.subarray(preludeBytes, headersEnd))
  return { headers, payload: bytes.subarray(headersEnd, end), bytes }
}
