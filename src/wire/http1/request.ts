import type { Buffer } from 'node:buffer'
import { consistsOf, isToken, LF, targetCharacters, tokenCharacters } from './characters.ts'
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
  const end = buffer.indexOf('\r\n\r\n')
  if (end < 0) return judgeIncomplete(buffer, limits)
  const length = end + 4
  if (length > limits.maxBytes) return refused(431, 'request head too large')
  const text = buffer.toString('latin1', 0, length)
  const lineEnd = text.indexOf('\r\n')
  const line = parseRequestLine(text.slice(0, lineEnd))
  if ('kind' in line) return line
  const fields = parseFields(text, lineEnd + 2, length - 2, limits.maxHeaders)
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
  let at = 0
  while (at < buffer.length && at <= maxMethodBytes && tokenCharacters[buffer[at]!] === 1) at += 1
  if (at > maxMethodBytes || (at < buffer.length && (at === 0 || buffer[at] !== 0x20))) {
    return refused(400, 'malformed request line')
  }
  const lineFeed = buffer.indexOf(LF)
  if (lineFeed >= 0 && isBareLf(buffer, lineFeed)) return refused(400, 'malformed request line')
  return incomplete
}

function parseRequestLine(line: string): RequestLine | Refused {
  const methodEnd = line.indexOf(' ')
  const targetEnd = line.lastIndexOf(' ')
  const method = line.slice(0, methodEnd)
  const target = line.slice(methodEnd + 1, targetEnd)
  if (methodEnd <= 0 || methodEnd > maxMethodBytes || !isToken(method)) {
    return refused(400, 'malformed request line')
  }
  const protocol = line.slice(targetEnd + 1)
  if (protocol !== 'HTTP/1.1' && protocol !== 'HTTP/1.0') {
    return /^HTTP\/[0-9]\.[0-9]$/.test(protocol)
      ? refused(505, 'HTTP version not supported')
      : refused(400, 'malformed request line')
  }
  if (!consistsOf(targetCharacters, target)) return refused(400, 'illegal character in the request target')
  const form = targetForm(method, target)
  if (form === undefined) return refused(400, 'malformed request target')
  return { method, target, form, version: protocol === 'HTTP/1.1' ? '1.1' : '1.0' }
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
 * authentication must not vanish that way behind our signature (security rule 15).
 */
function isEndToEnd(option: string): boolean {
  return (
    option === 'host' ||
    option === 'content-length' ||
    option === 'transfer-encoding' ||
    option === 'authorization' ||
    option.startsWith('x-amz-')
  )
}
