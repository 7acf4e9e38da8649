import { constants, type Http2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import { openBodyScanner, type BodyScanner, type Framing, type HeaderField } from '#wire/http1'
import { fromHttp2, toHttp2, toRecord, writeLines, type RawHeaders } from './fields.ts'

type Callback = (error?: Error | null) => void

/** What a head that was written has led to. */
export interface TakenHead {
  /** Bytes that it takes. */
  readonly length: number
  /** Of the body behind it; undefined when another head follows. */
  readonly framing: Framing | undefined
  /** The stream asks for trailers at the end of that body. */
  readonly withTrailers: boolean
}

/**
 * How the end of a body that came over HTTP/2 shows in HTTP/1.1: by its announced length (none included), by chunks,
 * or, of a WebSocket, by the end of the bytes.
 */
export type Delimited = 'length' | 'chunks' | 'end'

/** Unread bytes on each side of a message beyond which its sender is held back. */
const highWaterMark = 64 * 1024
const empty = Buffer.alloc(0)
const crlf = Buffer.from('\r\n')
/** RFC 9113 section 7, by number. */
const codeNames = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
]

/**
 * One HTTP/2 stream in the form of a socket that speaks HTTP/1.1: what is read and what is written are the bytes
 * of one message (RFC 9112), chunked where its length is not announced. Flow control passes through both ways.
 * A message that the peer breaks off ends in an error; a message that is destroyed resets its stream.
 */
export abstract class MessageStream extends Duplex {
  #stream: Http2Stream | undefined
  /** The body of the message that is read is passed on: what comes before waits in the stream. */
  #receives = false
  /** The message that is read has arrived whole. */
  #arrived = false
  /** Written, and not yet a whole head. */
  #head: Buffer = empty
  /** Of the body that is written; undefined before its head. */
  #scanner: BodyScanner | undefined
  #trailersDue = false
  #untilClose = false
  #resetBehindTrailers = false
  /** Of the write or the end under way. */
  #callback: Callback | undefined

  constructor() {
    super({ highWaterMark })
    // Every error is followed by a close.
    this.on('error', () => {})
  }

  /** Acts on the head at the start of `bytes`; undefined until it is whole. @throws when it cannot be sent */
  protected abstract takeHead(bytes: Buffer): TakenHead | undefined

  /** Resets the stream because this side gives it up. */
  protected abstract reset(stream: Http2Stream): void

  /** Whether what has arrived is still worth reading although the peer wants nothing more. */
  protected abstract readonly outlivesPeer: boolean

  /** As of a socket: destroyed once what was written has been sent. */
  destroySoon(): void {
    if (!this.writableEnded) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  /** The HTTP/2 stream, in which bytes wait too. */
  get inner(): Duplex | undefined {
    return this.#stream
  }

  /** Everything that belongs to the written message was written. */
  protected get complete(): boolean {
    return this.#scanner?.done === true || (this.#untilClose && this.writableEnded)
  }

  protected bind(stream: Http2Stream): void {
    this.#stream = stream
    stream.on('error', () => {})
    stream.on('close', () => this.#closed(stream.rstCode))
    stream.on('wantTrailers', () => this.#sendTrailers(stream))
  }

  #closed(code: number): void {
    this.#settle()
    const inOrder = this.complete || (code === constants.NGHTTP2_NO_ERROR && this.outlivesPeer)
    if (this.#arrived && inOrder) return
    this.destroy(new Error(`the HTTP/2 stream was reset (${codeNames[code] ?? code})`))
  }

  /** Passes on the body that comes over the stream, behind its head. */
  protected receiveBody(delimited: Delimited): void {
    const stream = this.#stream!
    const chunked = delimited === 'chunks'
    let trailers: HeaderField[] = []
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw: RawHeaders) => {
      trailers = fromHttp2(raw).headers
    })
    stream.on('data', (payload: Buffer) => {
      if (payload.length === 0 || this.destroyed) return
      if (chunked) this.push(`${payload.length.toString(16)}\r\n`)
      let more = this.push(payload)
      if (chunked) more = this.push(crlf)
      if (!more) stream.pause()
    })
    stream.on('end', () => {
      // SECURITY: a reset without an error ends the bytes as well, in the middle of a body. Where their number was
      // announced it tells; elsewhere what ends that way is not taken for the whole.
      if (delimited !== 'length' && stream.aborted) return
      if (chunked) this.receiveHead('0', trailers)
      this.receiveEnd()
    })
    this.#receives = true
  }

  /** Nothing more is read. */
  protected receiveEnd(): void {
    this.#arrived = true
    this.push(null)
  }

  protected receiveHead(startLine: string, headers: readonly HeaderField[]): void {
    const bytes = writeLines(startLine, headers)
    if (bytes) this.push(bytes)
    else this.destroy(new Error('illegal character in a header'))
  }

  override _read(): void {
    if (this.#receives) this.#stream!.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    try {
      const body = this.#scanner ? chunk : this.#takeHeads(chunk)
      if (!body || body.length === 0) return callback()
      const parts: Buffer[] = []
      this.#scanner!.scan(body, (part) => parts.push(part))
      this.#send(parts, callback)
    } catch (error) {
      callback(error as Error)
    }
  }

  /** What follows the heads in `chunk`; undefined while the last of them is incomplete. */
  #takeHeads(chunk: Buffer): Buffer | undefined {
    let bytes = this.#head.length > 0 ? Buffer.concat([this.#head, chunk]) : chunk
    this.#head = empty
    while (bytes.length > 0) {
      const taken = this.takeHead(bytes)
      if (!taken) {
        this.#head = bytes
        return undefined
      }
      bytes = bytes.subarray(taken.length)
      if (!taken.framing) continue
      this.#scanner = openBodyScanner(taken.framing)
      this.#trailersDue = taken.withTrailers
      this.#untilClose = taken.framing.kind === 'until-close'
      return bytes
    }
    return undefined
  }

  #send(parts: readonly Buffer[], callback: Callback): void {
    const stream = this.#stream!
    const last = parts.at(-1)
    if (stream.destroyed || stream.closed) return callback()
    for (const part of parts.slice(0, -1)) stream.write(part)
    if (last) {
      this.#callback = callback
      stream.write(last, () => this.#settle())
    }
    if (this.complete) stream.end()
    if (!last) callback()
  }

  override _final(callback: Callback): void {
    const stream = this.#stream
    if (!stream || stream.destroyed || stream.closed) return callback()
    if (!this.complete) {
      this.#reset(stream)
      return callback()
    }
    stream.end()
    if (stream.writableFinished && !this.#trailersDue) return callback()
    this.#callback = callback
    if (!this.#trailersDue) stream.once('finish', () => this.#settle())
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const stream = this.#stream
    const isOver = this.#arrived && this.complete && stream?.writableEnded
    if (stream && !stream.closed && !isOver) this.#reset(stream)
    // SECURITY: node:http2 keeps a stream until all that has arrived is read: what nobody wants is read and dropped.
    if (stream && !stream.destroyed) stream.resume()
    callback(error)
  }

  /**
   * SECURITY: where the trailers are being asked for, they go out first: node:http2 aborts the process when a stream
   * is gone by the time that its bytes run out.
   */
  #reset(stream: Http2Stream): void {
    if (this.#trailersDue && stream.writableFinished) this.#resetBehindTrailers = true
    else this.reset(stream)
  }

  #sendTrailers(stream: Http2Stream): void {
    if (stream.destroyed || stream.closed) return
    // SECURITY: node:http2 throws at what it has no place for, here where nobody catches it: the process would end.
    stream.sendTrailers(toRecord(toHttp2(this.#scanner?.trailers ?? [])))
    this.#trailersDue = false
    // They are handed over in an immediate, too: this one comes behind it.
    setImmediate(() => {
      this.#settle()
      if (this.#resetBehindTrailers) this.reset(stream)
    })
  }

  #settle(): void {
    const callback = this.#callback
    this.#callback = undefined
    callback?.()
  }
}
