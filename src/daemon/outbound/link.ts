import type { Duplex } from 'node:stream'

/** A socket, or what behaves like one. */
export interface ByteStream extends Duplex {
  /** Ends, and is destroyed once what was written has left. */
  destroySoon(): void
}

/** Beyond this many unread bytes the sender is held back by TCP. */
const highWater = 64 * 1024
const empty = Buffer.alloc(0)

/**
 * One end of a socket, read by pulling and written with back-pressure. Bytes gather in `held` until taken; at most
 * one caller waits in `fill` and one in a write at a time. Errors of the socket end it and are kept in `error`.
 */
export class Link {
  readonly socket: ByteStream
  /** Received and not taken. */
  held: Buffer = empty
  /** Ever received and written, in bytes of this link's own layer. */
  received = 0
  sent = 0
  /** No further byte will be received. */
  ended = false
  closed = false
  error: Error | undefined
  /** Called on bytes, end or close while nobody waits in `fill`. */
  onUnasked: (() => void) | undefined
  /** Called once. */
  onClose: (() => void) | undefined
  #waiting: ((more: boolean) => void) | undefined
  #drained: (() => void) | undefined

  constructor(socket: ByteStream) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#end())
    socket.on('drain', () => this.#drain())
    socket.on('error', (error) => (this.error = error))
    socket.on('close', () => {
      this.closed = true
      this.#end()
      this.#drain()
      this.onClose?.()
    })
    socket.resume()
    if (socket.destroyed) {
      this.closed = true
      this.ended = true
    }
  }

  #receive(chunk: Buffer): void {
    this.received += chunk.length
    this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk])
    if (this.held.length >= highWater) this.socket.pause()
    this.#wake(true)
  }

  #end(): void {
    this.ended = true
    this.#wake(false)
  }

  #wake(more: boolean): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting) waiting(more)
    else this.onUnasked?.()
  }

  #drain(): void {
    const drained = this.#drained
    this.#drained = undefined
    drained?.()
  }

  /** Waits until more than `beyond` bytes are held (the default: than now); false when no more will come. */
  fill(beyond = this.held.length): Promise<boolean> {
    if (this.held.length > beyond) return Promise.resolve(true)
    if (this.ended) return Promise.resolve(false)
    if (this.socket.isPaused()) this.socket.resume()
    return new Promise((resolve) => (this.#waiting = resolve))
  }

  /** Removes the first `count` bytes of `held` and returns them. */
  take(count: number): Buffer {
    const taken = count === this.held.length ? this.held : this.held.subarray(0, count)
    this.held = count === this.held.length ? empty : this.held.subarray(count)
    return taken
  }

  /** Writes; the promise, if there is one, resolves when more may be written or the socket has closed. */
  write(bytes: Buffer): Promise<void> | undefined {
    if (this.closed || this.socket.writableEnded) return undefined
    this.sent += bytes.length
    if (this.socket.write(bytes)) return undefined
    return new Promise((resolve) => (this.#drained = resolve))
  }

  /** Ends our side after what was written. */
  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }
}
