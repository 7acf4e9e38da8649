import { invalid, type FieldError } from './field-error.ts'
import { wildcardDanger } from './shared-suffix.ts'

const dnsName =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i
const ipv4 = /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/

/** Whether `text` is an IPv4 or IPv6 address in a usual spelling. */
export function isIpAddress(text: string): boolean {
  return (
    ipv4.test(text) ||
    (text.includes(':') && /^[0-9a-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]/`))
  )
}

/** Lower-case, as hosts are compared. */
export function normalizeHost(text: string): string {
  return text.toLowerCase()
}

/**
 * Rules for one address of a Service: an IP address, a DNS name, or `*.` and a DNS name, where `*` stands for one
 * label. SECURITY: rule 14; a wildcard over a public or shared suffix would send credentials to strangers.
 */
export function checkAddress(path: string, text: string, wildcardReason: string | undefined): FieldError[] {
  if (isIpAddress(text)) return []
  const wildcard = text.startsWith('*.')
  const name = wildcard ? text.slice(2) : text
  if (!dnsName.test(name) || /(^|\.)\d+$/.test(name)) {
    return [invalid(path, text, 'must be a DNS name, an IP address, or a DNS name whose leftmost label is *')]
  }
  if (!wildcard || wildcardReason !== undefined) return []
  const danger = wildcardDanger(name)
  const remedy = 'name the hosts, or say why this is safe in wildcardReason beside it'
  return danger === undefined ? [] : [invalid(path, text, `${danger}; ${remedy}`)]
}

const loopbackName = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** SECURITY: whether a URL is spoken to over HTTPS, or within this machine, where nobody is in between. */
export function isConfidential({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && loopbackName.test(hostname))
}
