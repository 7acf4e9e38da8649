/** Repeatable randomness: the same seed gives the same run. */
export interface Random {
  /** An integer from 0 up to and without `bound`. */
  below(bound: number): number
  pick<T>(items: readonly T[]): T
}

/** The mulberry32 generator. */
export function openRandom(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number) => Math.floor(next() * bound)
  return { below, pick: (items) => items[below(items.length)]! }
}
