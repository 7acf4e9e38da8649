import type { Duplex } from 'node:stream'
import type { Turn } from './turn.ts'
import { waitingIn } from './waiting.ts'

/** A socket, or what behaves like one. */
export interface ByteStream extends Duplex {
  /** Ends, and is destroyed once what was written has left. */
  destroySoon(): void
  /** Another stream within it. */
  readonly inner?: Duplex | undefined
}

/** Beyond this many unread bytes the sender is held back by TCP. */
const highWater = 64 * 1024
/** Smaller pieces that arrive one behind the other are joined: as many as bytes would take much more than these. */
const pieceLimit = 16 * 1024
const empty = Buffer.alloc(0)

interface Waiting {
  readonly beyond: number
  readonly turn: Turn | undefined
  readonly resolve: (more: boolean) => void
}

/**
 * One end of a socket, read by pulling and written with back-pressure. Bytes gather until taken; at most one caller
 * waits in `fill` and one in a write at a time. Errors of the socket end it and are kept in `error`.
 */
export class Link {
  readonly socket: ByteStream
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
  readonly #pieces: Buffer[] = []
  /** Bytes received and not taken. */
  #size = 0
  #waiting: Waiting | undefined
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

  /** Memory that is taken by what was received and not taken, or written and not sent. */
  get backlog(): number {
    const { inner } = this.socket
    return this.#size + waitingIn(this.socket) + (inner ? waitingIn(inner) : 0)
  }

  /** Received and not taken, in one. */
  get held(): Buffer {
    if (this.#pieces.length > 1) this.#pieces.splice(0, Infinity, Buffer.concat(this.#pieces))
    return this.piece
  }

  /** The first of what is held, as it came: for bodies, which need not be joined. */
  get piece(): Buffer {
    return this.#pieces[0] ?? empty
  }

  #receive(chunk: Buffer): void {
    const last = this.#pieces.at(-1)
    this.received += chunk.length
    this.#size += chunk.length
    if (!last || last.length + chunk.length > pieceLimit) this.#pieces.push(chunk)
    else this.#pieces[this.#pieces.length - 1] = Buffer.concat([last, chunk])
    if (this.#size >= highWater) this.socket.pause()
    // SECURITY: what nobody waits for is announced at once, for somebody may take this link before the next turn.
    if (!this.#waiting) this.onUnasked?.()
    else if (this.#waiting.turn) this.#waiting.turn.add(this)
    else this.wake()
  }

  #end(): void {
    this.ended = true
    if (this.#waiting) this.wake()
    else this.onUnasked?.()
  }

  /** For a `Turn`: whoever waits is told what has come; one whom a late turn finds with nothing new waits on. */
  wake(): void {
    const waiting = this.#waiting
    const hasMore = waiting !== undefined && this.#size > waiting.beyond
    if (!waiting || (!hasMore && !this.ended)) return
    this.#waiting = undefined
    waiting.resolve(hasMore)
  }

  #drain(): void {
    const drained = this.#drained
    this.#drained = undefined
    drained?.()
  }

  /**
   * Waits until more than `beyond` bytes are held (the default: than now); false when no more will come. With others
   * who wait for the same `turn`, where one is given.
   */
  fill(beyond = this.#size, turn?: Turn): boolean | Promise<boolean> {
    if (this.#size > beyond) return true
    if (this.ended) return false
    if (this.socket.isPaused()) this.socket.resume()
    return new Promise((resolve) => (this.#waiting = { beyond, turn, resolve }))
  }

  /** Removes the first `count` bytes of what is held and returns them. */
  take(count: number): Buffer {
    const bytes = count > this.piece.length ? this.held : this.piece
    const taken = count === bytes.length ? bytes : bytes.subarray(0, count)
    if (count < bytes.length) this.#pieces[0] = bytes.subarray(count)
    else this.#pieces.shift()
    this.#size -= taken.length
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
    if (!this.closed) this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }
}
