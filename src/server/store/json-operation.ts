import { sameJson } from '#model/managed-fields'

/** One operation of a JSON patch (RFC 6902 section 4); `path` and `from` are JSON pointers (RFC 6901). */
export type Operation = { readonly path: string } & (
  | { readonly op: 'add' | 'replace' | 'test'; readonly value: unknown }
  | { readonly op: 'remove' }
  | { readonly op: 'move' | 'copy'; readonly from: string }
)

/** Why an operation cannot be done. SECURITY: never the values, which may be write-only. */
export type Failure =
  | 'the value is another'
  | 'there is no such path'
  | 'the list is too long to be changed'
  | 'the operation cannot be done'

// SECURITY: each change of a list moves what comes behind. No list of an object has a tenth as many items.
const maxItems = 10_000

const tokensOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))

type JsonMap = Record<string, unknown>

const isMap = (value: unknown): value is JsonMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isIndex = (token: string): boolean => /^(0|[1-9]\d*)$/.test(token)

/**
 * What a list or a map holds; undefined for nothing, which JSON has no value for.
 * SECURITY: what it inherits, as every list does `length` and every map `toString`, it does not hold.
 */
function held(holder: unknown, token: string): unknown {
  if (Array.isArray(holder)) return isIndex(token) ? (holder[Number(token)] as unknown) : undefined
  return isMap(holder) && Object.hasOwn(holder, token) ? holder[token] : undefined
}

/** What lies at a pointer; undefined for nothing. */
export function valueAt(document: unknown, pointer: string): unknown {
  return tokensOf(pointer).reduce(held, document)
}

function placeOf(document: unknown, pointer: string): { holder: unknown; token: string } {
  const tokens = tokensOf(pointer)
  const token = tokens.pop()!
  return { holder: tokens.reduce(held, document), token }
}

function add(document: object, pointer: string, value: unknown): Failure | undefined {
  const { holder, token } = placeOf(document, pointer)
  if (Array.isArray(holder)) {
    const index = token === '-' ? holder.length : Number(token)
    if ((token !== '-' && !isIndex(token)) || index > holder.length) return 'there is no such path'
    if (holder.length >= maxItems) return 'the list is too long to be changed'
    holder.splice(index, 0, value)
    return undefined
  }
  if (!isMap(holder)) return 'there is no such path'
  holder[token] = value
  return undefined
}

function remove(document: object, pointer: string): Failure | undefined {
  const { holder, token } = placeOf(document, pointer)
  if (held(holder, token) === undefined) return 'there is no such path'
  if (!Array.isArray(holder)) delete (holder as JsonMap)[token]
  else if (holder.length > maxItems) return 'the list is too long to be changed'
  else holder.splice(Number(token), 1)
  return undefined
}

function replace(document: object, pointer: string, value: unknown): Failure | undefined {
  const { holder, token } = placeOf(document, pointer)
  if (held(holder, token) === undefined) return 'there is no such path'
  ;(holder as JsonMap)[token] = value
  return undefined
}

function move(document: object, from: string, path: string): Failure | undefined {
  // Into itself (RFC 6902 section 4.4): an item of a list would go into the one that takes its place.
  if (path.startsWith(`${from}/`)) return 'the operation cannot be done'
  const moved = valueAt(document, from)
  return remove(document, from) ?? add(document, path, moved)
}

function test(document: object, pointer: string, value: unknown): Failure | undefined {
  const found = valueAt(document, pointer)
  if (found === undefined) return 'there is no such path'
  return sameJson(found, value) ? undefined : 'the value is another'
}

/**
 * Changes a document of plain maps and lists by one operation, which may have changed part of it when it says why it
 * cannot be done. No pointer that changes something is that of the whole, and none has the token `__proto__`. What the
 * operation holds stays its own.
 */
export function applyOperation(document: object, operation: Operation): Failure | undefined {
  const { op, path } = operation
  switch (op) {
    case 'add':
      return add(document, path, structuredClone(operation.value))
    case 'replace':
      return replace(document, path, structuredClone(operation.value))
    case 'remove':
      return remove(document, path)
    case 'move':
      return move(document, operation.from, path)
    case 'copy': {
      const copied = structuredClone(valueAt(document, operation.from))
      return copied === undefined ? 'there is no such path' : add(document, path, copied)
    }
    default:
      return test(document, path, operation.value)
  }
}
