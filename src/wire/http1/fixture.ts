import type { Header } from './head.ts'

/** What a head says of its headers, without where it says it. */
export function plainHeaders(headers: readonly Header[]): Header[] {
  return headers.map(({ name, rawName, value }) => ({ name, rawName, value }))
}

/** The same for a whole answer of a parser. */
export function plainHead<Parsed extends { kind: string; head?: { headers: readonly Header[] } }>(
  parsed: Parsed,
): Parsed {
  const { head } = parsed
  return head ? { ...parsed, head: { ...head, headers: plainHeaders(head.headers) } } : parsed
}
