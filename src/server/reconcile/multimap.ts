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

/** Lists by key, of few values each: where most have one, a set would take five times the room. */
export interface Shortlists<K, V> {
  get(key: K): readonly V[]
  add(key: K, value: V): void
  delete(key: K, value: V): void
}

export function openShortlists<K, V>(): Shortlists<K, V> {
  const all = new Map<K, readonly V[]>()
  const get = (key: K) => all.get(key) ?? []
  return {
    get,
    add: (key, value) => void all.set(key, [...get(key), value]),
    delete(key, value) {
      const others = get(key).filter((one) => one !== value)
      if (others.length > 0) all.set(key, others)
      else all.delete(key)
    },
  }
}
