import type { TargetForm } from './head.ts'

export interface AbsoluteTarget {
  readonly scheme: 'http' | 'https'
  /** Lower-case, with its port if it has one. */
  readonly authority: string
  /** The origin-form of the same target. */
  readonly target: string
}

const absolute = /^(https?):\/\/([^/?]+)(.*)$/i
const authorityWithPort = /:[0-9]+$/

/** The form of a target (RFC 9112 section 3.2), or undefined when it has none that `method` may use. */
export function targetForm(method: string, target: string): TargetForm | undefined {
  if (method === 'CONNECT') return isHost(target) && authorityWithPort.test(target) ? 'authority' : undefined
  if (target.startsWith('/')) return 'origin'
  if (target === '*') return method === 'OPTIONS' ? 'asterisk' : undefined
  return parseAbsoluteTarget(target) && 'absolute'
}

/** Takes an absolute-form target apart; undefined for other schemes and for authorities with user information. */
export function parseAbsoluteTarget(target: string): AbsoluteTarget | undefined {
  const [, scheme, authority, rest] = absolute.exec(target) ?? []
  if (scheme === undefined || authority === undefined || rest === undefined || !isHost(authority))
    return undefined
  return {
    scheme: scheme.toLowerCase() as 'http' | 'https',
    authority: authority.toLowerCase(),
    target: rest.startsWith('/') ? rest : `/${rest}`,
  }
}

const host = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/i

/**
 * Whether a text is `host[:port]`, the host a name, an IPv4 address or a bracketed IPv6 address. Narrower than
 * RFC 3986: no percent-encoding, no empty port.
 */
export function isHost(text: string): boolean {
  const match = host.exec(text)
  return match !== null && Number(match[1] ?? 0) <= 65_535
}

/** Whether two authorities name the same host and port, `defaultPort` standing in for a missing one. */
export function sameAuthority(one: string, other: string, defaultPort: string): boolean {
  const suffix = `:${defaultPort}`
  const withoutDefault = (authority: string) =>
    authority.endsWith(suffix) ? authority.slice(0, -suffix.length) : authority
  return withoutDefault(one) === withoutDefault(other)
}
