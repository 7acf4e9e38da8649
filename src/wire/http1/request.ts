import type { Buffer } from 'node:buffer'
import { CR, headEnd, LF, skip, SP, targetCharacters, tokenCharacters } from './characters.ts'
import { isBareLf, parseFields, type Fields } from './fields.ts'
import { requestFraming, staysOpen } from './framing.ts'
import {
  defaultHeadLimits,
  incomplete,
  refused,
  type HeadLimits,
  type HttpVersion,
  type ParsedRequest,
  type Refused,
  type RequestHead,
  type TargetForm,
} from './head.ts'
import { isHost, parseAbsoluteTarget, sameAuthority, targetForm } from './target.ts'

/** The longest registered method has 17 characters (UPDATEREDIRECTREF). */
const maxMethodBytes = 32

const endToEnd = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
])

interface RequestLine {
  readonly method: string
  readonly target: string
  readonly form: TargetForm
  readonly version: HttpVersion
}

/**
 * Parses the head at the start of `buffer` (RFC 9112). An answer other than `incomplete` does not change when
 * more bytes follow. The strings of a head keep its text in memory: copy what outlives the request.
 */
export function parseRequestHead(buffer: Buffer, limits: HeadLimits = defaultHeadLimits): ParsedRequest {
  const end = buffer.indexOf(headEnd)
  if (end < 0) return judgeIncomplete(buffer, limits)
  const length = end + 4
  if (length > limits.maxBytes) return refused(431, 'request head too large')
  const text = buffer.toString('latin1', 0, length)
  const line = parseRequestLine(buffer, text)
  if ('kind' in line) return line
  const range = { start: text.indexOf('\n') + 1, end: length - 2, maxHeaders: limits.maxHeaders }
  const fields = parseFields(buffer, text, range)
  if (typeof fields === 'string') return refused(fields === 'too many headers' ? 431 : 400, fields)
  const head = assemble(line, fields)
  return 'kind' in head ? head : { kind: 'head', head, length }
}

/**
 * Says early what can never become a request, by checks whose cost does not grow with the head: else a client
 * that sends byte by byte would buy the square of its bytes in work.
 */
function judgeIncomplete(buffer: Buffer, { maxBytes }: HeadLimits): ParsedRequest {
  if (buffer.length >= maxBytes) return refused(431, 'request head too large')
  const start = buffer.subarray(0, maxMethodBytes + 1)
  const methodEnd = skip(tokenCharacters, start, 0)
  const endsWell =
    methodEnd < start.length ? methodEnd > 0 && start[methodEnd] === SP : methodEnd <= maxMethodBytes
  if (!endsWell) return refused(400, 'malformed request line')
  const lineFeed = buffer.indexOf(LF)
  if (lineFeed >= 0 && isBareLf(buffer, lineFeed)) return refused(400, 'malformed request line')
  return incomplete
}

function parseRequestLine(bytes: Buffer, text: string): RequestLine | Refused {
  const methodEnd = skip(tokenCharacters, bytes, 0)
  if (methodEnd === 0 || methodEnd > maxMethodBytes || bytes[methodEnd] !== SP) {
    return refused(400, 'malformed request line')
  }
  const targetEnd = skip(targetCharacters, bytes, methodEnd + 1)
  if (bytes[targetEnd] === CR || bytes[targetEnd] === LF) return refused(400, 'malformed request line')
  if (bytes[targetEnd] !== SP) return refused(400, 'illegal character in the request target')
  const version = versionAt(text, targetEnd + 1)
  if (typeof version !== 'string') return version
  const method = text.slice(0, methodEnd)
  const target = text.slice(methodEnd + 1, targetEnd)
  const form = targetForm(method, target)
  return form === undefined ? refused(400, 'malformed request target') : { method, target, form, version }
}

function versionAt(text: string, start: number): HttpVersion | Refused {
  if (text.startsWith('HTTP/1.1\r\n', start)) return '1.1'
  if (text.startsWith('HTTP/1.0\r\n', start)) return '1.0'
  const protocol = text.slice(start, text.indexOf('\r\n', start))
  return /^HTTP\/[0-9](?:\.[0-9])?$/.test(protocol)
    ? refused(505, 'HTTP version not supported')
    : refused(400, 'malformed request line')
}

function assemble(line: RequestLine, fields: Fields): RequestHead | Refused {
  const { version } = line
  if (fields.hosts > 1) return refused(400, 'repeated Host')
  if (fields.hosts === 0 && version === '1.1') return refused(400, 'missing Host')
  if (fields.host !== undefined && !isHost(fields.host)) return refused(400, 'malformed Host')
  const host = fields.host?.toLowerCase()
  if (host !== undefined && !agreesWithTarget(line, host)) return refused(400, 'Host and target disagree')
  const framing = requestFraming(fields, version)
  if (framing.kind === 'refused') return framing
  if (fields.connection.some(isEndToEnd)) return refused(400, 'Connection names an end-to-end header')
  const expectContinue = fields.expect !== undefined && version === '1.1'
  if (expectContinue && fields.expect!.toLowerCase() !== '100-continue') {
    return refused(417, 'unknown expectation')
  }
  return {
    ...line,
    headers: fields.headers,
    host,
    framing,
    keepAlive: staysOpen(fields, version),
    expectContinue,
    upgrade: fields.upgradeProtocols.length > 0 || fields.connection.includes('upgrade'),
    upgradeProtocols: fields.upgradeProtocols,
    connection: fields.connection,
  }
}

function agreesWithTarget({ form, target }: RequestLine, host: string): boolean {
  if (form === 'authority') return sameAuthority(target.toLowerCase(), host, '443')
  if (form !== 'absolute') return true
  const { authority, scheme } = parseAbsoluteTarget(target)!
  return sameAuthority(authority, host, scheme === 'https' ? '443' : '80')
}

/**
 * SECURITY: a header that `Connection` names is dropped by the next hop. What decides over routing, framing or
 * authentication, or is signed, must not vanish that way behind our signature (security rule 15).
 */
function isEndToEnd(option: string): boolean {
  return endToEnd.has(option) || option.startsWith('x-amz-')
}
