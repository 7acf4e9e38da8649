import { hash } from 'node:crypto'
import type { HeaderField, RequestHead } from '#wire/http1'

/**
 * WebSockets over HTTP/2 (RFC 8441) in the form of those over HTTP/1.1 (RFC 6455): what the one says by CONNECT with
 * `:protocol` and a status of success, the other says by an upgrade, with a key that shows that it was understood.
 */

/** RFC 6455 section 1.3. */
const suffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Fields of RFC 6455 that have no place in HTTP/2 (RFC 8441 section 5). */
const keyFields = new Set(['sec-websocket-key', 'sec-websocket-accept'])

/** What grants a WebSocket to whoever sent `key`. */
export function acceptanceOf(key: string): string {
  return hash('sha1', key + suffix, 'base64')
}

export function newKey(random: (size: number) => Buffer): string {
  return random(16).toString('base64')
}

export function valueOf(headers: readonly HeaderField[], wanted: string): string | undefined {
  return headers.find(({ name }) => name === wanted)?.value
}

export function withoutKeys(headers: readonly HeaderField[]): HeaderField[] {
  return headers.filter(({ name }) => !keyFields.has(name))
}

/** The request's fields that ask for a switch to `protocol`; the strict parser judges what that is. */
export function upgradeFields(protocol: string, key: string): HeaderField[] {
  return [
    { name: 'connection', value: 'Upgrade' },
    { name: 'upgrade', value: protocol },
    { name: 'sec-websocket-key', value: key },
  ]
}

/** The response's fields that grant it. */
export function grantFields({ headers }: RequestHead): HeaderField[] {
  const key = valueOf(headers, 'sec-websocket-key')
  return [
    { name: 'connection', value: 'Upgrade' },
    { name: 'upgrade', value: 'websocket' },
    ...(key === undefined ? [] : [{ name: 'sec-websocket-accept', value: acceptanceOf(key) }]),
  ]
}
