/**
 * Messages of `application/vnd.amazon.eventstream` between bytes and values (Smithy, "Amazon Event Stream
 * specification"): cut out of a stream that comes in any pieces, their check sums verified, and written. It knows
 * the form of header values, not what they mean, and signs nothing.
 */
export { openEventStreamParser } from './parser.ts'
export type { EventMessage, EventStreamParser } from './parser.ts'
export { formatEventHeaders, formatEventMessage } from './format.ts'
export { eventHeaderTypes, parseEventHeaders } from './headers.ts'
export type { EventHeader } from './headers.ts'
