import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import { formatRequestHead, parseAbsoluteTarget, parseRequestHead, type RequestHead } from '#wire/http1'

/** What the first request on an explicit proxy's connection asks for. */
export type ProxyRequest =
  | { readonly kind: 'tunnel'; readonly host: string; readonly port: number; readonly rest: Buffer }
  /** One plain-text request; `rest` is its head in origin form and what followed. */
  | { readonly kind: 'forward'; readonly host: string; readonly port: number; readonly rest: Buffer }
  | { readonly kind: 'refused'; readonly status: number; readonly reason: string }

/** Fields that end at this proxy (RFC 9110 section 7.6.1, and its own authentication). */
const hopFields = new Set([
  'connection',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'keep-alive',
])

function authority(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(text)
  const port = Number(match?.[3])
  const host = (match?.[1] ?? match?.[2])?.toLowerCase()
  if (host === undefined || port < 1 || port > 65_535) return undefined
  return match?.[1] !== undefined && isIP(host) !== 6 ? undefined : { host, port }
}

function forward(head: RequestHead, body: Buffer): ProxyRequest {
  const parsed = parseAbsoluteTarget(head.target)
  const target = parsed?.scheme === 'http' ? authority(withPort(parsed.authority, 80)) : undefined
  if (!parsed || !target) return { kind: 'refused', status: 400, reason: 'an http:// URL is expected' }
  // SECURITY: only these by name. What Connection nominates stays: dropping Content-Length at the client's word
  // would turn its body into another request.
  const headers = head.headers
    .filter(({ name }) => !hopFields.has(name))
    .map(({ rawName, value }) => ({ name: rawName, value }))
  // One request for each connection: the next one may be for another host.
  const text = formatRequestHead({
    method: head.method,
    target: parsed.target,
    headers: [...headers, { name: 'Connection', value: 'close' }],
  })
  return { kind: 'forward', ...target, rest: Buffer.concat([text, body]) }
}

function withPort(host: string, port: number): string {
  return /:\d+$/.test(host) ? host : `${host}:${port}`
}

/** Reads what `bytes` asks for; undefined while they are not enough. At most a head of 64 KiB. */
export function readProxyRequest(bytes: Buffer): ProxyRequest | undefined {
  const parsed = parseRequestHead(bytes)
  if (parsed.kind === 'incomplete') return undefined
  if (parsed.kind === 'refused') return parsed
  const { head, length } = parsed
  const rest = bytes.subarray(length)
  if (head.form === 'absolute') return forward(head, rest)
  const target = head.form === 'authority' ? authority(head.target) : undefined
  if (!target)
    return { kind: 'refused', status: 400, reason: 'this is a proxy: use CONNECT or an http:// URL' }
  return { kind: 'tunnel', ...target, rest }
}

/** Answers a client that cannot be served, and ends its connection. */
export function refuseProxyRequest(socket: Socket, status: number, reason: string): void {
  const body = `tideway: ${reason}\n`
  socket.end(
    `HTTP/1.1 ${status} ${status === 403 ? 'Forbidden' : 'Bad Request'}\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

export const tunnelEstablished = 'HTTP/1.1 200 Connection established\r\n\r\n'
