import type { Buffer } from 'node:buffer'
import { CR, headEnd, LF, skip, valueCharacters } from './characters.ts'
import { isBareLf, parseFields } from './fields.ts'
import { responseFraming, staysOpen } from './framing.ts'
import {
  defaultHeadLimits,
  incomplete,
  refused,
  type HeadLimits,
  type HttpVersion,
  type ParsedResponse,
} from './head.ts'

/**
 * Parses the head of a response to a request with `method` at the start of `buffer`. An answer other than
 * `incomplete` does not change when more bytes follow. Interim responses (1xx) are heads like any other.
 */
export function parseResponseHead(
  buffer: Buffer,
  { method }: { method: string },
  limits: HeadLimits = defaultHeadLimits,
): ParsedResponse {
  const end = buffer.indexOf(headEnd)
  if (end < 0) return judgeIncomplete(buffer, limits)
  const length = end + 4
  if (length > limits.maxBytes) return refused(502, 'response head too large')
  const text = buffer.toString('latin1', 0, length)
  const lineEnd = skip(valueCharacters, buffer, 0)
  const line = parseStatusLine(text.slice(0, lineEnd))
  if (!line || buffer[lineEnd] !== CR || buffer[lineEnd + 1] !== LF)
    return refused(502, 'malformed status line')
  const range = { start: lineEnd + 2, end: length - 2, maxHeaders: limits.maxHeaders }
  const fields = parseFields(buffer, text, range)
  if (typeof fields === 'string') return refused(502, fields)
  // SECURITY: dropped at the next hop, as it would have to be, it would leave a body whose end is told otherwise.
  if (fields.connection.some(isFraming)) return refused(502, 'Connection names a header that frames the body')
  const { version, status } = line
  const framing = responseFraming(fields, version, { status, method })
  if (framing.kind === 'refused') return framing
  const keepAlive = framing.kind !== 'until-close' && staysOpen(fields, version)
  const head = { ...line, headers: fields.headers, framing, keepAlive, connection: fields.connection }
  return { kind: 'head', head, length }
}

function isFraming(option: string): boolean {
  return option === 'content-length' || option === 'transfer-encoding'
}

const start = 'HTTP/1.'

function judgeIncomplete(buffer: Buffer, { maxBytes }: HeadLimits): ParsedResponse {
  if (buffer.length >= maxBytes) return refused(502, 'response head too large')
  if (!start.startsWith(buffer.toString('latin1', 0, start.length)))
    return refused(502, 'malformed status line')
  const lineFeed = buffer.indexOf(LF)
  if (lineFeed >= 0 && isBareLf(buffer, lineFeed)) return refused(502, 'malformed status line')
  return incomplete
}

const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: (.*))?$/

/** RFC 9112 section 4; the space before an empty reason may be missing, as from many servers. */
function parseStatusLine(line: string): { version: HttpVersion; status: number; reason: string } | undefined {
  const [, minor, status, reason = ''] = statusLine.exec(line) ?? []
  if (minor === undefined || status === undefined) return undefined
  return { version: minor === '1' ? '1.1' : '1.0', status: Number(status), reason }
}
