import { Fault } from '#base/errors'
import type { Clock } from '#base/clock'
import { openEventSignatures, type SeedSignature } from '#model/signing'
import {
  eventHeaderTypes,
  formatEventHeaders,
  formatEventMessage,
  openEventStreamParser,
  type EventMessage,
} from '#wire/event-stream'
import type { BodyTransformer } from './body-transformer.ts'
import type { Budget } from './bounds.ts'

const nothing = Buffer.alloc(0)

/**
 * Wraps each message of an event stream in one that we sign, unwrapped first where the client signed it with keys of
 * its own; an empty one ends the stream. A message is held until it is whole: at most `limit` bytes, taken from
 * `budget`.
 */
export function openEventResigner(
  seed: SeedSignature,
  { limit, budget, clock }: { limit: number; budget: Budget; clock: Clock },
): BodyTransformer {
  const signatures = openEventSignatures(seed)
  const parser = openEventStreamParser({ maxMessageBytes: limit })
  /** Our clock is seen from the one that the head was dated by, which may be the upstream's. */
  const ahead = seed.at - clock.now()
  let taken = 0
  let ended = false

  function wrap(payload: Buffer): Buffer {
    const at = clock.now() + ahead
    const value = Buffer.alloc(8)
    value.writeBigInt64BE(BigInt(at))
    const date = formatEventHeaders([{ name: ':date', type: eventHeaderTypes.timestamp, value }])
    const signature = signatures.signEvent(date, payload, at)
    const signed = formatEventHeaders([
      { name: ':chunk-signature', type: eventHeaderTypes.bytes, value: signature },
    ])
    return formatEventMessage(Buffer.concat([date, signed]), payload)
  }

  function resign(message: EventMessage): Buffer {
    if (ended) throw new Fault('WIRE_MALFORMED', 'event stream: a message behind its end')
    const payload = isEnvelope(message) ? message.payload : message.bytes
    ended = payload.length === 0
    return wrap(payload)
  }

  function settle(): void {
    const more = parser.held - taken
    if (more < 0) budget.give(-more)
    else if (!budget.take(more)) {
      throw new Fault('BUFFERS_EXHAUSTED', 'the daemon holds too many bytes at once')
    }
    taken = parser.held
  }

  return {
    keepsLength: false,
    write(payload) {
      const messages = parser.push(payload)
      settle()
      return messages.map(resign)
    },
    end() {
      if (parser.held > 0) throw new Fault('WIRE_MALFORMED', 'event stream: it ends within a message')
      return ended ? [] : [wrap(nothing)]
    },
    close() {
      budget.give(taken)
      taken = 0
    },
  }
}

/** What a signing client sends: a date, a signature, and the message that they are about. */
function isEnvelope({ headers }: EventMessage): boolean {
  return headers.length === 2 && headers.every(({ name }) => name === ':date' || name === ':chunk-signature')
}
