/** Sets by key; a key without values is not there. */
export interface Multimap<K, V> {
  readonly all: ReadonlyMap<K, ReadonlySet<V>>
  get(key: K): ReadonlySet<V>
  add(key: K, value: V): void
  delete(key: K, value: V): void
}

const empty: ReadonlySet<never> = new Set()

export function openMultimap<K, V>(): Multimap<K, V> {
  const all = new Map<K, Set<V>>()
  return {
    all,
    get: (key) => all.get(key) ?? empty,
    add(key, value) {
      const values = all.get(key)
      if (values) values.add(value)
      else all.set(key, new Set([value]))
    },
    delete(key, value) {
      const values = all.get(key)
      if (values?.delete(value) && values.size === 0) all.delete(key)
    },
  }
}
