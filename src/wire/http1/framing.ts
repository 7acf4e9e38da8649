import type { Fields } from './fields.ts'
import { refused, type Framing, type HttpVersion, type Refused } from './head.ts'

const noBody: Framing = Object.freeze({ kind: 'none' })
const chunked: Framing = Object.freeze({ kind: 'chunked' })
const untilClose: Framing = Object.freeze({ kind: 'until-close' })

/** How far the body of a request reaches (RFC 9112 section 6.3), refused where two parsers could differ. */
export function requestFraming(fields: Fields, version: HttpVersion): Framing | Refused {
  return declaredFraming(fields, version) ?? noBody
}

/** The same for a response to a request with `method`. */
export function responseFraming(
  fields: Fields,
  version: HttpVersion,
  { status, method }: { status: number; method: string },
): Framing | Refused {
  const declared = declaredFraming(fields, version)
  if (declared?.kind === 'refused') return { ...declared, status: 502 }
  if (method === 'CONNECT' && status >= 200 && status < 300) return noBody
  if (status < 200 || status === 204) {
    const empty = declared === undefined || (declared.kind === 'length' && declared.bytes === 0)
    return empty ? noBody : refused(502, `body announced with status ${status}`)
  }
  if (status === 304 || method === 'HEAD') return noBody
  return declared ?? untilClose
}

function declaredFraming(fields: Fields, version: HttpVersion): Framing | Refused | undefined {
  if (fields.transferEncodings > 0) {
    if (fields.contentLengths > 0) return refused(400, 'both Transfer-Encoding and Content-Length')
    if (version === '1.0') return refused(400, 'Transfer-Encoding in HTTP/1.0')
    if (fields.transferEncodings > 1) return refused(400, 'repeated Transfer-Encoding')
    if (!/^ *chunked *$/i.test(fields.transferEncoding!)) {
      return refused(501, 'transfer coding other than chunked')
    }
    return chunked
  }
  if (fields.contentLengths === 0) return undefined
  if (fields.contentLengths > 1) return refused(400, 'repeated Content-Length')
  // 15 digits stay below 2^53.
  if (!/^ *[0-9]{1,15} *$/.test(fields.contentLength!)) return refused(400, 'malformed Content-Length')
  return { kind: 'length', bytes: Number(fields.contentLength) }
}

/** Whether the connection outlives the message (RFC 9112 section 9.3). */
export function staysOpen(fields: Fields, version: HttpVersion): boolean {
  if (fields.connection.includes('close')) return false
  return version === '1.1' || fields.connection.includes('keep-alive')
}
