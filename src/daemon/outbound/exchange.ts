import { isFault, toFault, type Fault } from '#base/errors'
import { tellTlsFailure } from '#daemon/tls-failure'
import {
  formatResponseHead,
  openBodyScanner,
  parseResponseHead,
  type BodyScanner,
  type HeaderField,
  type RequestHead,
  type ResponseHead,
} from '#wire/http1'
import type { BodyTransformer } from './body-transformer.ts'
import type { Link } from './link.ts'
import { passesHop } from './signed-head.ts'
import { Turn } from './turn.ts'
import { grantsWebSocket } from './websocket.ts'

/** How one request on one upstream connection went. */
export type Outcome =
  /** Upstream ended before a byte of response. */
  | { readonly kind: 'unanswered'; readonly reason: string }
  /** Nothing of a response reached the client: it may still be told. `fault` when its own body was at fault. */
  | { readonly kind: 'failed'; readonly reason: string; readonly fault?: Fault }
  /** Upstream has granted the WebSocket that was asked for: what follows on both sides is no longer HTTP. */
  | { readonly kind: 'switched'; readonly status: number; readonly grant: ResponseHead }
  /** The response broke off: nothing sensible can follow on the client's connection. */
  | { readonly kind: 'broken'; readonly status: number; readonly reason: string }
  | {
      readonly kind: 'done'
      readonly status: number
      readonly upstreamReusable: boolean
      readonly clientReusable: boolean
    }

/** A head and the body bytes at hand travel in one write up to here; beyond it copying costs more than a write. */
const coalesceLimit = 16 * 1024
/** Exchanges whose upstreams have sent something of an answer's head. */
const answers = new Turn()
/** Interim responses that one request may cause. */
const maxInterims = 32

interface Options {
  readonly client: Link
  readonly upstream: Link
  readonly head: RequestHead
  /** The head to send. */
  readonly signed: Buffer
  /** Names that no trailer may have, in lower case. */
  readonly replaced: readonly string[]
  /** What was held of the body, which is all of it. */
  readonly body: Buffer | undefined
  /** The body is streamed from the client. */
  readonly streams: boolean
  /** Rewrites the body that is streamed; without it the bytes pass as they come. */
  readonly transformer?: BodyTransformer | undefined
  /** Called on progress: `body` from the client, `response` from upstream. */
  readonly onProgress: (what: 'body' | 'response') => void
  /** Told of the head of the final response. */
  readonly onResponse: (head: ResponseHead) => void
}

/** A final response on its way to the client. */
interface Relay {
  readonly response: ResponseHead
  readonly scanner: BodyScanner
  readonly dechunks: boolean
  /** The client's connection stays. */
  readonly lasts: boolean
}

/** Resolves when more may be written; undefined where it may be at once. */
type Drained = Promise<void> | undefined
interface Malformed {
  readonly malformed: string
}

const noBytes = Buffer.alloc(0)
const closing: readonly HeaderField[] = [{ name: 'Connection', value: 'close' }]

/**
 * One request and its response between a client and an upstream, both ways at once: the upstream may answer before
 * the body has ended, and interim responses pass through.
 */
export class Exchange {
  readonly #options: Options
  readonly #receivedBefore: number
  #uploaded = true
  /** Nothing more is sent upstream: what the client still sends is read and dropped. */
  #over = false
  #uploadFault: Fault | undefined
  #clientLeft = false
  /** Settles when nothing is read from the client any more. */
  upload: Promise<void> = Promise.resolve()
  /** The status line has gone to the client. */
  started = false

  constructor(options: Options) {
    this.#options = options
    this.#receivedBefore = options.upstream.received
  }

  async run(): Promise<Outcome> {
    const { upstream, signed, replaced, body, streams, head, transformer } = this.#options
    if (streams) {
      this.#uploaded = false
      this.upload = this.#upload(openBodyScanner(head.framing, replaced), signed)
      if (transformer) this.upload = this.upload.finally(() => transformer.close())
    } else {
      // Not waited for: it is all in memory, and an upstream that answers early may never read the rest.
      void writeTogether(upstream, signed, body ?? noBytes)
    }
    const outcome = await this.#relayHeads()
    this.#over = true
    // SECURITY: the rest of an unfinished body would be read as the head of somebody's next request.
    if (!this.#uploaded) upstream.destroy()
    return outcome
  }

  /** Sends `first`, then the body as it comes; after the response is complete it only reads and drops. */
  async #upload(scanner: BodyScanner, first: Buffer): Promise<void> {
    const { client, upstream, onProgress, transformer } = this.#options
    let unsent: Buffer | undefined = first
    for (;;) {
      let bytes: Buffer
      try {
        bytes =
          transformer && !this.#over
            ? this.#takeTransformed(scanner, transformer)
            : client.take(scanner.scan(client.piece).consumed)
      } catch (error) {
        this.#uploadFault = toFault(error)
        upstream.destroy()
        return
      }
      if (scanner.done) this.#uploaded = true
      if (!this.#over) {
        onProgress('body')
        const drained = writeTogether(upstream, unsent, bytes)
        unsent = undefined
        if (drained) await drained
      }
      if (scanner.done) return
      if (!(await client.fill(0))) {
        this.#clientLeft = true
        upstream.destroy()
        return
      }
    }
  }

  /** Chunks on the way in are chunks on the way out, and so is what has not the length that was announced for it. */
  #takeTransformed(scanner: BodyScanner, transformer: BodyTransformer): Buffer {
    const { client, head } = this.#options
    const parts: Buffer[] = []
    const { consumed } = scanner.scan(client.piece, (payload) => parts.push(...transformer.write(payload)))
    client.take(consumed)
    if (scanner.done) parts.push(...transformer.end())
    const payload = Buffer.concat(parts)
    const chunked = head.framing.kind === 'chunked' || !transformer.keepsLength
    return chunked ? formatChunk(payload, { last: scanner.done }) : payload
  }

  async #relayHeads(): Promise<Outcome> {
    const { client, upstream, head, onProgress, onResponse } = this.#options
    for (let interims = 0; interims <= maxInterims;) {
      const answer = parseResponseHead(upstream.held, head)
      if (answer.kind === 'incomplete') {
        if (await upstream.fill(upstream.held.length, answers)) continue
        return this.#unanswered()
      }
      if (answer.kind === 'refused') return { kind: 'failed', reason: `upstream: ${answer.reason}` }
      upstream.take(answer.length)
      onProgress('response')
      const response = answer.head
      if (response.status === 101) return this.#switch(response)
      if (response.status >= 200) {
        onResponse(response)
        return this.#relayFinal(response)
      }
      interims += 1
      if (head.version === '1.1') {
        const drained = client.write(formatHead(response, []))
        if (drained) await drained
      }
    }
    return { kind: 'failed', reason: 'upstream sent too many interim responses' }
  }

  #switch(grant: ResponseHead): Outcome {
    if (!this.#options.head.upgrade || !grantsWebSocket(grant)) {
      return { kind: 'failed', reason: 'upstream switched protocols unasked' }
    }
    this.started = true
    return { kind: 'switched', status: 101, grant }
  }

  #unanswered(): Outcome {
    const { upstream } = this.#options
    const fault =
      this.#uploadFault ?? (isFault(upstream.error, 'BUFFERS_EXHAUSTED') ? upstream.error : undefined)
    if (fault) return { kind: 'failed', reason: fault.message, fault }
    if (this.#clientLeft) return { kind: 'failed', reason: 'the client left before the end of its body' }
    const reason = upstream.error
      ? `upstream: ${tellTlsFailure(upstream.error)}`
      : 'upstream closed the connection'
    if (upstream.received > this.#receivedBefore) return { kind: 'failed', reason }
    return { kind: 'unanswered', reason }
  }

  /** Most responses are at hand with their head: those are through when this returns. */
  #relayFinal(response: ResponseHead): Outcome | Promise<Outcome> {
    const { head } = this.#options
    const { framing } = response
    // An HTTP/1.0 client knows no chunks: it gets the payload until close (RFC 9112 section 7.1.2).
    const dechunks = framing.kind === 'chunked' && head.version === '1.0'
    const lasts = head.keepAlive && framing.kind !== 'until-close' && !dechunks
    const added = lasts ? persistence(head) : closing
    const relay = { response, scanner: openBodyScanner(framing), dechunks, lasts }
    this.started = true
    const drained = this.#relayPiece(relay, formatHead(response, added, dechunks))
    return !drained && relay.scanner.done ? this.#concluded(relay) : this.#relayRest(relay, drained)
  }

  async #relayRest(relay: Relay, drained: Drained | Malformed): Promise<Outcome> {
    const { client, upstream, onProgress } = this.#options
    const { status, framing } = relay.response
    const broken = (reason: string): Outcome => ({ kind: 'broken', status, reason })
    for (let written = drained; ; written = this.#relayPiece(relay)) {
      if (written && 'malformed' in written) return broken(written.malformed)
      if (written) await written
      if (relay.scanner.done) break
      if (client.closed) return broken('the client left before the end of the response')
      if (await upstream.fill(0)) onProgress('response')
      else if (framing.kind === 'until-close' && !upstream.error) break
      else return broken('upstream closed the connection before the end of its response')
    }
    return this.#concluded(relay)
  }

  /** Passes on what is at hand of the body, behind `head` if it is the first. */
  #relayPiece({ scanner, dechunks }: Relay, head?: Buffer): Drained | Malformed {
    const { client, upstream } = this.#options
    let bytes: Buffer
    try {
      bytes = takeScanned(upstream, scanner, dechunks)
    } catch (error) {
      return { malformed: toFault(error).message }
    }
    return writeTogether(client, head, bytes)
  }

  #concluded({ response, lasts }: Relay): Outcome {
    const { socket, held } = this.#options.upstream
    // A body that was held may still wait to be sent: upstream has answered before, and may never read the rest.
    const complete = this.#uploaded && socket.writableLength === 0 && held.length === 0
    return {
      kind: 'done',
      status: response.status,
      upstreamReusable: complete && response.keepAlive,
      clientReusable: this.#uploaded && lasts,
    }
  }
}

/** Takes what belongs to the body from the first piece held; the bare payload if `dechunks`. @throws Fault WIRE_MALFORMED */
function takeScanned(link: Link, scanner: BodyScanner, dechunks: boolean): Buffer {
  if (!dechunks) return link.take(scanner.scan(link.piece).consumed)
  const payload: Buffer[] = []
  link.take(scanner.scan(link.piece, (part) => payload.push(part)).consumed)
  return Buffer.concat(payload)
}

function writeTogether(link: Link, head: Buffer | undefined, body: Buffer): Drained {
  if (!head) return body.length > 0 ? link.write(body) : undefined
  if (body.length === 0) return link.write(head)
  if (body.length <= coalesceLimit) return link.write(Buffer.concat([head, body]))
  void link.write(head)
  return link.write(body)
}

/** One chunk (RFC 9112 section 7.1), and the end of the body behind the last. */
function formatChunk(payload: Buffer, { last }: { last: boolean }): Buffer {
  const head = payload.length > 0 ? `${payload.length.toString(16)}\r\n` : ''
  const tail = `${payload.length > 0 ? '\r\n' : ''}${last ? '0\r\n\r\n' : ''}`
  return Buffer.concat([Buffer.from(head), payload, Buffer.from(tail)])
}

const keeping: readonly HeaderField[] = [{ name: 'Connection', value: 'keep-alive' }]
const nothing: readonly HeaderField[] = []

/** HTTP/1.0 clients stay only when told so. */
function persistence({ version }: RequestHead): readonly HeaderField[] {
  return version === '1.0' ? keeping : nothing
}

function formatHead(response: ResponseHead, added: readonly HeaderField[], dechunks = false): Buffer {
  const { status, reason, connection } = response
  const headers: HeaderField[] = []
  for (const header of response.headers) {
    const { name } = header
    if (!passesHop(name, connection)) continue
    if (dechunks && (name === 'transfer-encoding' || name === 'trailer')) continue
    headers.push(header)
  }
  headers.push(...added)
  return formatResponseHead({ status, reason, headers })
}
