import { context, element, tag } from './der.ts'

/** One entry of a subjectAltName extension (RFC 5280 section 4.2.1.6). */
export type SubjectName =
  | { readonly type: 'dns'; readonly value: string }
  | { readonly type: 'ip'; readonly value: string }
  | { readonly type: 'uri'; readonly value: string }

/** id-at-commonName: 2.5.4.3. */
const commonName = Buffer.from('0603550403', 'hex')
const maxDnsNameLength = 253

/** Whether `host` is an IPv4 or IPv6 address in its usual text form, without brackets, zone or prefix length. */
export function isIpAddress(host: string): boolean {
  if (host.includes(':')) return /^[0-9a-fA-F:.]+$/.test(host) && URL.canParse(`http://[${host}]/`)
  const octets = host.split('.')
  return (
    octets.length === 4 && octets.every((octet) => /^(0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) < 256)
  )
}

/** Whether `host` is a DNS name as a certificate may hold it: labels of letters, digits, `-` and `_`, the last not a number. */
export function isDnsName(host: string): boolean {
  const labels = host.split('.')
  return (
    host.length <= maxDnsNameLength &&
    !/^[0-9]+$/.test(labels.at(-1)!) &&
    labels.every((label) => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/.test(label))
  )
}

/** `host` as the one kind of subject name that fits it. @throws TypeError when it is neither address nor name */
export function hostName(host: string): SubjectName {
  // The URL parser writes every spelling of an address, an IPv4 tail included, in the one form of RFC 5952.
  if (host.includes(':') && isIpAddress(host)) {
    return { type: 'ip', value: new URL(`http://[${host}]/`).hostname.slice(1, -1) }
  }
  if (isIpAddress(host)) return { type: 'ip', value: host }
  if (isDnsName(host)) return { type: 'dns', value: host.toLowerCase() }
  throw new TypeError(`${JSON.stringify(host)} is neither a DNS name nor an IP address`)
}

/** Octets of an address in the form that `hostName` gives it: 4 or 16. */
export function addressOctets(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [head = [], tail] = address.split('::').map((part) => (part === '' ? [] : part.split(':')))
  const zeros = Array.from({ length: 8 - head.length - (tail?.length ?? 0) }, () => '0')
  const groups = tail ? [...head, ...zeros, ...tail] : head
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

const nameTags = { email: 1, dns: 2, uri: 6, ip: 7 }

/** A GeneralName of these octets (RFC 5280 section 4.2.1.6), as DER. */
export function generalNameOf(type: keyof typeof nameTags, octets: Uint8Array): Buffer {
  return element(context(nameTags[type], 'primitive'), octets)
}

/** An IA5String. @throws TypeError when `text` has characters beyond ASCII */
export function ascii(text: string): Buffer {
  const octets = Buffer.from(text, 'utf8')
  if (octets.length !== text.length) throw new TypeError(`${JSON.stringify(text)} is not ASCII`)
  return octets
}

/** One name of a subject (RFC 5280 section 4.2.1.6), as DER. @throws TypeError when it is not ASCII */
export function generalName({ type, value }: SubjectName): Buffer {
  return generalNameOf(type, type === 'ip' ? addressOctets(hostName(value).value) : ascii(value))
}

/** A distinguished name of one common name (RFC 5280 section 4.1.2.4), as DER; without one the empty name. */
export function distinguishedName(name?: string): Buffer {
  if (name === undefined) return element(tag.sequence)
  const attribute = element(tag.sequence, commonName, element(tag.utf8String, Buffer.from(name, 'utf8')))
  return element(tag.sequence, element(tag.set, attribute))
}
