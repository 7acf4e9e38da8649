import type { Framing, HeaderField } from '#wire/http1'

/** Header fields as node:http2 gives and takes them: name, value, name, value. */
export type RawHeaders = readonly string[]

/** What HTTP/2 has no place for (RFC 9113 section 8.2.2), and `host`, which is `:authority` there. */
const connectionSpecific = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

/** The fields of an HTTP/1.1 message, or its trailers, that go over HTTP/2. */
export function toHttp2(headers: readonly HeaderField[]): HeaderField[] {
  return headers.filter(({ name }) => !connectionSpecific.has(name))
}

/** As node:http2 takes a whole head. */
export function toRaw(headers: readonly HeaderField[]): string[] {
  return headers.flatMap(({ name, value }) => [name, value])
}

/** Takes the pseudo-header fields (RFC 9113 section 8.3) apart from the others. */
export function fromHttp2(raw: RawHeaders): { pseudo: Map<string, string>; headers: HeaderField[] } {
  const pseudo = new Map<string, string>()
  const headers: HeaderField[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!
    const value = raw[at + 1]!
    if (name.startsWith(':')) pseudo.set(name, value)
    else headers.push({ name, value })
  }
  return { pseudo, headers }
}

/**
 * Lines of HTTP/1.1 and the empty one behind them; undefined where one would break out of its place.
 *
 * SECURITY: only that is judged here. What HTTP/2 lets through and HTTP/1.1 does not is left to the one strict
 * parser that reads this next, so that no request is judged less strictly for having come in frames.
 */
export function writeLines(startLine: string, headers: readonly HeaderField[]): Buffer | undefined {
  const lines = [startLine, ...headers.map(({ name, value }) => `${name}: ${value}`)]
  if (lines.some((line) => /[\r\n\0]/.test(line))) return undefined
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** As node:http2 takes interim heads and trailers: repeated names as lists. */
export function toRecord(headers: readonly HeaderField[]): Record<string, string[]> {
  const record: Record<string, string[]> = Object.create(null)
  for (const { name, value } of headers) (record[name] ??= []).push(value)
  return record
}

export function isEmpty(framing: Framing): boolean {
  return framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)
}
