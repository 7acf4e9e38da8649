import type { SelectorMap } from '#model/scope'
import { isPrefixKey } from './keys.ts'

/** What is known about a process: selector keys with all their values. */
export type Attributes = ReadonlyMap<string, readonly string[]>

export type SelectorMatch =
  | { readonly matched: true; readonly keys: readonly string[] }
  | {
      readonly matched: false
      /** The first key that did not match; empty for a selector without keys, which matches nothing. */
      readonly key: string
      readonly wanted: readonly string[]
      /** Undefined when nothing is known under that key. */
      readonly actual: readonly string[] | undefined
    }

function holds(key: string, wanted: readonly string[], actual: readonly string[]): boolean {
  return isPrefixKey(key)
    ? wanted.some((prefix) => actual.some((value) => value.startsWith(prefix)))
    : wanted.some((value) => actual.includes(value))
}

/** Whether every key of `selector` has a value that the attributes bear out (design section 2). */
export function matchSelector(selector: SelectorMap, attributes: Attributes): SelectorMatch {
  const keys = Object.keys(selector)
  if (keys.length === 0) return { matched: false, key: '', wanted: [], actual: undefined }
  for (const key of keys) {
    const wanted = selector[key]!
    const actual = attributes.get(key)
    if (!actual || !holds(key, wanted, actual)) return { matched: false, key, wanted, actual }
  }
  return { matched: true, keys }
}
