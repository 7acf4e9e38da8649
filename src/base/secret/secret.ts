import { timingSafeEqual, createHash } from 'node:crypto'
import { inspect } from 'node:util'

/** Secret bytes. Only `reveal` and `revealText` give them out, and those words are easy to search for. */
export class Secret {
  readonly #bytes: Buffer

  private constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /**
   * Wraps a text (stored as UTF-8) or a copy of the bytes.
   * SECURITY: in memory of its own. Node.js cuts small Buffers from pools of 64 KiB: one would hold, and by its
   * `buffer` give away, what else was cut from there, and for as long as it lives.
   */
  static of(value: string | Uint8Array): Secret {
    const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(value))
    if (typeof value === 'string') bytes.write(value)
    else bytes.set(value)
    return new Secret(bytes)
  }

  reveal(): Buffer {
    return this.#bytes
  }

  /** The bytes as UTF-8 text. The text lives until V8 collects it: call late, keep briefly. */
  revealText(): string {
    return this.#bytes.toString('utf8')
  }

  /** Constant-time equality. */
  equals(other: Secret): boolean {
    const digest = (secret: Secret) => createHash('sha256').update(secret.#bytes).digest()
    return timingSafeEqual(digest(this), digest(other))
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
