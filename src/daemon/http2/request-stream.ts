import { constants, type Http2Stream, type ServerHttp2Stream } from 'node:http2'
import { Fault } from '#base/errors'
import { parseResponseHead, type HeaderField, type ResponseHead } from '#wire/http1'
import { fromHttp2, isEmpty, toHttp2, toRaw, toRecord, type RawHeaders } from './fields.ts'
import { MessageStream, type TakenHead } from './message-stream.ts'
import { acceptanceOf, newKey, upgradeFields, valueOf, withoutKeys } from './websocket.ts'

/** Methods that announce an empty body rather than none (RFC 9110 section 8.6). */
const bodied = new Set(['POST', 'PUT', 'PATCH'])

/**
 * A stream that a client opened: its request is read from it, and the response is written to it. One that asks for a
 * WebSocket (RFC 8441) is a request for an upgrade, and what the client sends behind it is read once it is granted.
 */
export class RequestStream extends MessageStream {
  readonly outlivesPeer = false
  readonly #stream: ServerHttp2Stream
  readonly #method: string
  /** Sent with the request for a WebSocket; undefined for every other request. */
  readonly #key: string | undefined

  constructor(stream: ServerHttp2Stream, raw: RawHeaders, random: (size: number) => Buffer) {
    super()
    this.#stream = stream
    const { pseudo, headers } = fromHttp2(raw)
    const protocol = pseudo.get(':protocol')
    this.#method = protocol === undefined ? (pseudo.get(':method') ?? '') : 'GET'
    this.bind(stream)
    if (protocol !== undefined) {
      this.#key = newKey(random)
      const fields = [...hostOf(pseudo, headers), ...withoutKeys(joinCookies(headers))]
      this.receiveHead(this.#startLine(pseudo), [...fields, ...upgradeFields(protocol, this.#key)])
      return
    }
    const isOpen = !stream.endAfterHeaders
    const announced = headers.some(({ name }) => name === 'content-length')
    const chunked = isOpen && !announced
    const fields = [...hostOf(pseudo, headers), ...joinCookies(headers)]
    if (chunked) fields.push({ name: 'transfer-encoding', value: 'chunked' })
    if (!isOpen && !announced && bodied.has(this.#method)) fields.push({ name: 'content-length', value: '0' })
    this.receiveHead(this.#startLine(pseudo), fields)
    this.receiveBody(chunked ? 'chunks' : 'length')
  }

  #startLine(pseudo: ReadonlyMap<string, string>): string {
    return `${this.#method} ${targetOf(pseudo)} HTTP/1.1`
  }

  /** Turns the request away before anything of it was looked at: the client may repeat it. */
  refuse(): void {
    this.#stream.close(constants.NGHTTP2_REFUSED_STREAM)
  }

  /** What is complete ends without an error although the rest of the request is not wanted (RFC 9113 section 8.1). */
  protected override reset(stream: Http2Stream): void {
    if (this.complete) stream.close(constants.NGHTTP2_NO_ERROR)
    else stream.destroy(new Error('the response broke off'))
  }

  protected override takeHead(bytes: Buffer): TakenHead | undefined {
    const parsed = parseResponseHead(bytes, { method: this.#method })
    if (parsed.kind === 'incomplete') return undefined
    if (parsed.kind === 'refused') throw new Fault('WIRE_MALFORMED', parsed.reason)
    const { head, length } = parsed
    if (this.#key !== undefined && head.status === 101) {
      this.#grant(head, this.#key)
      return { length, framing: { kind: 'until-close' }, withTrailers: false }
    }
    if (this.#key !== undefined && head.status >= 200) this.receiveEnd()
    this.#respond(head)
    const framing = head.status < 200 ? undefined : head.framing
    return { length, framing, withTrailers: framing?.kind === 'chunked' }
  }

  #grant({ headers }: ResponseHead, key: string): void {
    if (valueOf(headers, 'sec-websocket-accept') !== acceptanceOf(key)) {
      throw new Fault('WIRE_MALFORMED', 'upstream has not understood the request for a WebSocket')
    }
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return
    const options = { endStream: false, sendDate: false }
    stream.respond([':status', '200', ...toRaw(withoutKeys(toHttp2(headers)))], options)
    this.receiveBody('end')
  }

  #respond({ status: given, headers, framing }: ResponseHead): void {
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return
    // An upgrade that was ignored is no success: over HTTP/2 one would say that it was granted.
    const status = this.#key !== undefined && given >= 200 && given < 300 ? 502 : given
    const fields = toHttp2(headers)
    if (status < 200) return stream.additionalHeaders({ ...toRecord(fields), ':status': String(status) })
    const options = {
      endStream: isEmpty(framing),
      waitForTrailers: framing.kind === 'chunked',
      sendDate: false,
    }
    stream.respond([':status', String(status), ...toRaw(fields)], options)
  }
}

/** In HTTP/1.1 a scheme shows only in the absolute form, where the parser judges it. */
function targetOf(pseudo: ReadonlyMap<string, string>): string {
  const authority = pseudo.get(':authority') ?? ''
  const path = pseudo.get(':path')
  const scheme = pseudo.get(':scheme')
  if (path === undefined) return authority
  return scheme === 'https' ? path : `${scheme}://${authority}${path}`
}

/**
 * SECURITY: a `host` beside `:authority` stays only where it differs, so that two names are refused further on as
 * a repeated Host (RFC 9113 section 8.3.1).
 */
function hostOf(pseudo: ReadonlyMap<string, string>, headers: readonly HeaderField[]): HeaderField[] {
  const authority = pseudo.get(':authority')
  const same = headers.some(
    ({ name, value }) => name === 'host' && value.toLowerCase() === authority?.toLowerCase(),
  )
  return authority === undefined || same ? [] : [{ name: 'host', value: authority }]
}

/** RFC 9113 section 8.2.3: in HTTP/1.1 there is one Cookie field. */
function joinCookies(headers: readonly HeaderField[]): HeaderField[] {
  const cookies = headers.filter(({ name }) => name === 'cookie')
  if (cookies.length < 2) return [...headers]
  const value = cookies.map((cookie) => cookie.value).join('; ')
  return [...headers.filter(({ name }) => name !== 'cookie'), { name: 'cookie', value }]
}
