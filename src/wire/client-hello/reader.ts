import { Buffer } from 'node:buffer'

/** A cursor over bytes in the presentation language of TLS (RFC 8446 section 3): big-endian, length-prefixed. */
export class Reader {
  readonly #data: Buffer
  readonly #end: number
  readonly #fail: (reason: string) => never
  #at: number

  private constructor(data: Buffer, at: number, end: number, fail: (reason: string) => never) {
    this.#data = data
    this.#at = at
    this.#end = end
    this.#fail = fail
  }

  /** Reads `data` from its start; `fail` is called, and must throw, when a length points past the end. */
  static open(data: Uint8Array, fail: (reason: string) => never): Reader {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
    return new Reader(bytes, 0, bytes.length, fail)
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  /** Where the next `length` bytes begin, which are read with that. */
  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#end) this.#fail('a length exceeds its container')
    this.#at = at + length
    return at
  }

  skip(length: number): void {
    this.#take(length)
  }

  uint8(): number {
    return this.#data[this.#take(1)]!
  }

  uint16(): number {
    const at = this.#take(2)
    return (this.#data[at]! << 8) | this.#data[at + 1]!
  }

  /** What remains, a character for each byte. */
  text(): string {
    return this.#data.toString('latin1', this.#take(this.remaining), this.#end)
  }

  #vector(length: number): Reader {
    const at = this.#take(length)
    return new Reader(this.#data, at, at + length, this.#fail)
  }

  /** The content of a vector whose length takes one byte. */
  vector8(): Reader {
    return this.#vector(this.uint8())
  }

  /** The content of a vector whose length takes two bytes. */
  vector16(): Reader {
    return this.#vector(this.uint16())
  }
}
