import type { StoreKey } from './ports.ts'

/**
 * The keys under a prefix, those after `after` if it is given: `[from, to)`. Keys have no control characters, so that
 * none lies between a key and that key followed by one; every key with a prefix is below the prefix followed by the
 * last code point.
 */
export function keyRange(prefix: StoreKey, after: StoreKey = ''): readonly [from: StoreKey, to: StoreKey] {
  return [after < prefix ? prefix : `${after}\u0001`, `${prefix}\u{10ffff}`]
}
