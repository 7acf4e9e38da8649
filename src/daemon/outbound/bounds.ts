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

  /** Takes so many; false, and none, when that would go over a bound. */
  enter(key: Key, amount = 1): boolean {
    const used = (this.#used.get(key) ?? 0) + amount
    if (used > this.#maxPerKey || this.total + amount > this.#maxTotal) return false
    this.#used.set(key, used)
    this.total += amount
    return true
  }

  leave(key: Key, amount = 1): void {
    const used = (this.#used.get(key) ?? 0) - amount
    if (used <= 0) this.#used.delete(key)
    else this.#used.set(key, used)
    this.total -= amount
  }

  /** What is left for one key. */
  budgetOf(key: Key): Budget {
    return { take: (amount) => this.enter(key, amount), give: (amount) => this.leave(key, amount) }
  }
}

/** Bytes that may be held: by one of those who share them, and by all together. */
export interface Budget {
  take(bytes: number): boolean
  give(bytes: number): void
}
