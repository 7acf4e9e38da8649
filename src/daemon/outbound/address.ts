import { parseAbsoluteTarget, type RequestHead } from '#wire/http1'
import type { Refusal } from './refusal.ts'
import type { Route } from './route.ts'
import { asksForWebSocket } from './websocket.ts'

/** Where a request points within its host, in origin form. */
export interface Address {
  readonly path: string
  /** Without its `?`. */
  readonly query: string
}

function refuse(status: number, reason: string): Refusal {
  return { status, code: 'REQUEST_REFUSED', reason }
}

/** The name or address in a Host value, when its port is `port` or absent; undefined for another port. */
function hostWithoutPort(host: string, port: number): string | undefined {
  const colon = host.indexOf(':', host.lastIndexOf(']') + 1)
  if (colon >= 0 && Number(host.slice(colon + 1)) !== port) return undefined
  const name = colon < 0 ? host : host.slice(0, colon)
  return name.startsWith('[') ? name.slice(1, -1) : name
}

/**
 * Checks that a request goes to the host that its connection was admitted for, by a method and in a form that
 * cannot lead it elsewhere (security rules 13 and 15). `alsoMeans` tells whether another name stands for the host
 * of this plain-text route.
 */
export function addressOf(
  head: RequestHead,
  { host, port }: Route,
  alsoMeans: (name: string) => boolean,
): Address | Refusal {
  if (head.method === 'TRACE' || head.method === 'CONNECT') {
    return refuse(403, `method ${head.method} is not sent with a credential`)
  }
  if (head.upgrade && !asksForWebSocket(head)) {
    return refuse(501, 'a protocol upgrade other than to a WebSocket is not sent with a credential')
  }
  if (head.host === undefined) return refuse(400, 'the Host header is missing')
  const named = hostWithoutPort(head.host, port)
  if (named === undefined || (named !== host && !alsoMeans(named))) {
    return refuse(421, `the Host header names ${head.host}, this connection is for ${host} port ${port}`)
  }
  // The parser has made sure that an absolute target names the same authority as the Host header.
  const target = head.form === 'absolute' ? parseAbsoluteTarget(head.target)!.target : head.target
  if (!target.startsWith('/')) return refuse(400, 'the request target is not a path')
  const mark = target.indexOf('?')
  if (mark < 0) return { path: target, query: '' }
  const query = target.slice(mark + 1)
  if (hasTooManyPairs(query)) return refuse(414, `the query has more than ${maxPairs} parameters`)
  return { path: target.slice(0, mark), query }
}

/** SECURITY: each is decoded, sorted and encoded in one go for the signature, while nobody else is served. */
const maxPairs = 1_000

function hasTooManyPairs(query: string): boolean {
  // Most are shorter than that many could be.
  if (query.length <= maxPairs) return false
  let pairs = 1
  for (let at = 0; at < query.length; at += 1) {
    const character = query[at]
    if (character === '&' || character === ';') pairs += 1
  }
  return pairs > maxPairs
}
