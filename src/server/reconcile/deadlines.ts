/**
 * When something is due, by key, in milliseconds of whatever clock its user takes. `next` and `take` are asked all the
 * time, and mostly nothing is.
 */
export interface Deadlines<K> {
  set(key: K, at: number): void
  has(key: K): boolean
  delete(key: K): void
  /** Nothing is due before; Infinity when nothing ever is. */
  next(): number
  /** Takes out what is due at `at`. */
  take(at: number): readonly K[]
}

export function openDeadlines<K>(): Deadlines<K> {
  const all = new Map<K, number>()
  // May be too early when what was due first is gone: whoever comes then finds nothing, and the next moment.
  let next = Infinity
  return {
    set(key, at) {
      all.set(key, at)
      next = Math.min(next, at)
    },
    has: (key) => all.has(key),
    delete: (key) => void all.delete(key),
    next: () => next,
    take(at) {
      const due: K[] = []
      if (at < next) return due
      next = Infinity
      for (const [key, moment] of all) {
        if (moment > at) next = Math.min(next, moment)
        else if (all.delete(key)) due.push(key)
      }
      return due
    },
  }
}
