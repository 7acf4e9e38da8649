import {
  AttributeTypeAndValue,
  AttributeValue,
  GeneralName,
  Name,
  RelativeDistinguishedName,
} from '@peculiar/asn1-x509'

/** One entry of a subjectAltName extension (RFC 5280 section 4.2.1.6). */
export type SubjectName =
  | { readonly type: 'dns'; readonly value: string }
  | { readonly type: 'ip'; readonly value: string }
  | { readonly type: 'uri'; readonly value: string }

const commonNameOid = '2.5.4.3'
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

export function generalName({ type, value }: SubjectName): GeneralName {
  if (type === 'dns') return new GeneralName({ dNSName: value })
  if (type === 'ip') return new GeneralName({ iPAddress: value })
  return new GeneralName({ uniformResourceIdentifier: value })
}

/** A distinguished name of one common name; without one the empty name. */
export function distinguishedName(commonName?: string): Name {
  if (commonName === undefined) return new Name()
  const value = new AttributeValue({ utf8String: commonName })
  return new Name([
    new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonNameOid, value })]),
  ])
}
