/** Counts what is in use per key, and in all, up to fixed bounds. */
export class Counts<Key> {
  readonly #used = new Map<Key, number>()
  readonly #maxPerKey: number
  readonly #maxTotal: number
  total = 0

  constructor({ maxPerKey, maxTotal = Infinity }: { maxPerKey: number; maxTotal?: number }) {
    this.#maxPerKey = maxPerKey
    this.#maxTotal = maxTotal
  }

  /** Takes one; false when a bound is reached. */
  enter(key: Key): boolean {
    const used = this.#used.get(key) ?? 0
    if (used >= this.#maxPerKey || this.total >= this.#maxTotal) return false
    this.#used.set(key, used + 1)
    this.total += 1
    return true
  }

  leave(key: Key): void {
    const used = this.#used.get(key) ?? 0
    if (used <= 1) this.#used.delete(key)
    else this.#used.set(key, used - 1)
    this.total -= 1
  }
}

/** Bytes that all sessions together may hold. */
export class Budget {
  #left: number

  constructor(bytes: number) {
    this.#left = bytes
  }

  take(bytes: number): boolean {
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }

  give(bytes: number): void {
    this.#left += bytes
  }
}
