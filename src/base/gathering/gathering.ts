import { Buffer } from 'node:buffer'

/** As a view of what it came in, each part takes about as much beside its bytes. */
const smallBytes = 1024
const blockBytes = 16 * 1024
const nothing = Buffer.alloc(0)

/**
 * Parts of something, held until it is whole.
 *
 * SECURITY: parts of a byte each, kept as they come, would take a hundred times their bytes: from the second on, small
 * ones are copied together.
 */
export class Gathering {
  /** All parts but the last of the small ones. */
  #parts: Buffer[] = []
  #block = nothing
  #filled = 0
  length = 0

  push(part: Buffer): void {
    this.length += part.length
    if (part.length >= smallBytes || this.length === part.length) {
      this.#flush()
      this.#parts.push(part)
      return
    }
    if (this.#block.length - this.#filled < part.length) {
      this.#flush()
      this.#block = Buffer.allocUnsafeSlow(blockBytes)
      this.#filled = 0
    }
    part.copy(this.#block, this.#filled)
    this.#filled += part.length
  }

  /** What has come, in as few pieces as it lies in. */
  get pieces(): readonly Buffer[] {
    this.#flush()
    return this.#parts
  }

  /** What has come, in one. */
  get joined(): Buffer {
    this.#flush()
    if (this.#parts.length !== 1) this.#parts = [Buffer.concat(this.#parts)]
    return this.#parts[0]!
  }

  #flush(): void {
    if (this.#filled > 0) this.#parts.push(this.#block.subarray(0, this.#filled))
    this.#block = this.#block.subarray(this.#filled)
    this.#filled = 0
  }
}
