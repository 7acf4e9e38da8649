import {
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
} from 'node:http2'
import { Fault } from '#base/errors'
import { parseRequestHead, type HeaderField, type RequestHead } from '#wire/http1'
import { fromHttp2, isEmpty, toHttp2, toRaw, type RawHeaders } from './fields.ts'
import { MessageStream, type TakenHead } from './message-stream.ts'
import { grantFields, withoutKeys } from './websocket.ts'

/** Our own heads, with what signing added to the largest head of a client. */
const headLimits = { maxBytes: 128 * 1024, maxHeaders: 192 }

/** A stream to an upstream: the request is written to it, and its response is read from it. */
export class ResponseStream extends MessageStream {
  readonly outlivesPeer = true
  readonly #session: ClientHttp2Session
  #stream: ClientHttp2Stream | undefined
  #method = ''
  /** The request asks for a WebSocket. */
  #asking: RequestHead | undefined
  readonly #giveUp = new AbortController()
  #unsent = false

  constructor(session: ClientHttp2Session) {
    super()
    this.#session = session
  }

  /** Upstream has said that it did not look at the request, or never got it (RFC 9113 section 8.7). */
  get refused(): boolean {
    return this.#unsent || this.#stream?.rstCode === constants.NGHTTP2_REFUSED_STREAM
  }

  /** Upstream serves this over HTTP/1.1 only (RFC 9113 section 7). It may have looked at the request. */
  get needsHttp1(): boolean {
    return this.#stream?.rstCode === constants.NGHTTP2_HTTP_1_1_REQUIRED
  }

  /** Its connection takes no further request; what is under way there goes on. */
  retireConnection(): void {
    this.#session.close()
  }

  /** SECURITY: by its signal, as `close` would first end the body: upstream would take a part for the whole. */
  protected override reset(): void {
    this.#giveUp.abort()
  }

  protected override takeHead(bytes: Buffer): TakenHead | undefined {
    const parsed = parseRequestHead(bytes, headLimits)
    if (parsed.kind === 'incomplete') return undefined
    if (parsed.kind === 'refused') throw new Fault('WIRE_MALFORMED', parsed.reason)
    const { head, length } = parsed
    // Few requests have trailers, and those that do announce them.
    const withTrailers =
      head.framing.kind === 'chunked' && head.headers.some(({ name }) => name === 'trailer')
    if (head.upgrade) this.#requestWebSocket(head)
    else this.#request(head, withTrailers)
    return { length, framing: head.upgrade ? { kind: 'until-close' } : head.framing, withTrailers }
  }

  #request({ method, target, host = '', headers, framing }: RequestHead, waitForTrailers: boolean): void {
    const pseudo = [':method', method, ':scheme', 'https', ':authority', host, ':path', target]
    this.#method = method
    // Trailers pass through us both ways, whether or not the client's own hop can carry them.
    this.#open([...pseudo, ...toRaw(toHttp2(headers)), 'te', 'trailers'], {
      endStream: isEmpty(framing),
      waitForTrailers,
    })
  }

  #requestWebSocket(head: RequestHead): void {
    const { target, host = '', headers } = head
    if (this.#session.remoteSettings?.enableConnectProtocol !== true) {
      throw new Fault('UPSTREAM_UNREACHABLE', 'it speaks HTTP/2 alone, and takes no WebSocket over it')
    }
    const pseudo = [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'https']
    this.#asking = head
    this.#open([...pseudo, ':authority', host, ':path', target, ...toRaw(withoutKeys(toHttp2(headers)))], {})
  }

  #open(fields: readonly string[], options: ClientSessionRequestOptions): void {
    this.#unsent = this.#session.closed || this.#session.destroyed
    this.#stream = this.#session.request(fields, { ...options, signal: this.#giveUp.signal })
    this.bind(this.#stream)
    this.#stream.on('headers', (_headers: unknown, _flags: unknown, raw: RawHeaders) => {
      const { pseudo, headers } = fromHttp2(raw)
      this.receiveHead(startLine(pseudo), headers)
    })
    this.#stream.on('response', (_headers: unknown, flags: number, raw: RawHeaders) => {
      const hasEnded = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
      this.#respond(raw, hasEnded)
    })
  }

  #respond(raw: RawHeaders, hasEnded: boolean): void {
    const { pseudo, headers } = fromHttp2(raw)
    const status = pseudo.get(':status')
    if (this.#asking && status?.startsWith('2')) {
      this.receiveHead('HTTP/1.1 101 ', [...withoutKeys(headers), ...grantFields(this.#asking)])
      return this.receiveBody('end')
    }
    const announced = headers.some(({ name }) => name === 'content-length')
    const hasBody = this.#method !== 'HEAD' && status !== '204' && status !== '304'
    const chunked = hasBody && !announced && !hasEnded
    const framing: HeaderField[] = []
    if (chunked) framing.push({ name: 'transfer-encoding', value: 'chunked' })
    if (hasBody && !announced && hasEnded) framing.push({ name: 'content-length', value: '0' })
    this.receiveHead(startLine(pseudo), [...headers, ...framing])
    this.receiveBody(chunked ? 'chunks' : 'length')
  }
}

function startLine(pseudo: ReadonlyMap<string, string>): string {
  return `HTTP/1.1 ${pseudo.get(':status')} `
}
