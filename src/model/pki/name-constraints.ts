import { context, element, tag } from './der.ts'
import { addressOctets, ascii, generalNameOf, hostName, isIpAddress, type SubjectName } from './names.ts'

/** A subtree base; IP addresses carry a prefix length, a DNS name with a leading dot means names below it only. */
export type Subtree = SubjectName | { readonly type: 'email'; readonly value: string }

/** RFC 5280 section 4.2.1.10. A name type that `permitted` does not mention is limited by `excluded` alone. */
export interface NameConstraints {
  readonly permitted: readonly Subtree[]
  readonly excluded: readonly Subtree[]
}

/** RFC 2606 section 2: a name that nobody has. */
const nowhere = 'invalid'
/** RFC 5737 section 3 and RFC 4291 section 2.5.2: addresses that nobody has, as ranges of one. */
const nobody = { v4: '192.0.2.0/32', v6: '::/128' }

/** Every dNSName under `host` or equal to it is what a constraint permits; `*.` widens to the same subtree. */
function dnsBase(host: string): string {
  return hostName(host.startsWith('*.') ? host.slice(2) : host).value
}

/** `b.c` and `c` of `a.b.c`. */
function namesAbove(name: string): string[] {
  const labels = name.split('.')
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'))
}

/**
 * Constraints that let a CA certify `hosts` (DNS names, `*.` standing for one label, IP addresses) and as
 * little else as X.509 can express, in the four name types that every verifier knows: Go and webpki refuse a
 * critical constraint on any other type outright.
 *
 * A dNSName constraint also permits every name below it (RFC 5280 section 4.2.1.10). Those are excluded by a
 * leading dot where no other host needs them; OpenSSL, Go, NSS and webpki honour that, and GnuTLS and Java,
 * for which the form has no meaning, keep permitting them. A `*.` host permits its base name and deeper names.
 * @throws TypeError when a host is neither a DNS name nor an IP address
 */
export function hostConstraints(hosts: readonly string[]): NameConstraints {
  const addresses = hosts.filter(isIpAddress).map((host) => hostName(host).value)
  const names = hosts.filter((host) => !isIpAddress(host))
  const bases = [...new Set(names.map(dnsBase))].sort()
  const wild = new Set(names.filter((host) => host.startsWith('*.')).map(dnsBase))
  const above = new Set(bases.flatMap(namesAbove))
  const sealed = bases.filter((base) => !wild.has(base) && !above.has(base))
  const v4 = addresses.filter((address) => !address.includes(':'))
  const v6 = addresses.filter((address) => address.includes(':'))
  // SECURITY: a type that is not mentioned is unconstrained, so each has an entry: where nothing is bound, one
  // reserved name that is permitted and excluded at once, which leaves nothing. Of addresses, where one kind alone is
  // bound, the other has the same: Java (17) compares kinds with each other, and would refuse every address, were all
  // of the other kind excluded.
  const neither = addresses.length === 0
  const unbound = [...(v4.length > 0 ? [] : [nobody.v4]), ...(v6.length > 0 ? [] : [nobody.v6])]
  return {
    permitted: [
      ...(bases.length > 0 ? bases : [nowhere]).map((value) => ({ type: 'dns', value }) as const),
      ...[
        ...v4.map((address) => `${address}/32`),
        ...v6.map((address) => `${address}/128`),
        ...(neither ? [] : unbound),
      ].map((value) => ({ type: 'ip', value }) as const),
      { type: 'email', value: nowhere },
      { type: 'uri', value: nowhere },
    ],
    excluded: [
      ...(bases.length > 0 ? sealed.map((base) => `.${base}`) : [nowhere]).map(
        (value) => ({ type: 'dns', value }) as const,
      ),
      ...(neither ? ['0.0.0.0/0', '::/0'] : unbound).map((value) => ({ type: 'ip', value }) as const),
      { type: 'email', value: nowhere },
      { type: 'uri', value: nowhere },
    ],
  }
}

/** An address and its mask, of the same length (RFC 5280 section 4.2.1.10). */
function addressRange(range: string): Buffer {
  const [address = '', prefixLength] = range.split('/')
  const octets = addressOctets(address)
  const mask = octets.map(
    (_, index) => (0xff00 >> Math.min(8, Math.max(0, Number(prefixLength) - 8 * index))) & 0xff,
  )
  return Buffer.concat([octets, mask])
}

/** GeneralSubtrees, the content of it. */
function subtrees(list: readonly Subtree[]): Buffer[] {
  return list.map(({ type, value }) =>
    element(tag.sequence, generalNameOf(type, type === 'ip' ? addressRange(value) : ascii(value))),
  )
}

/** As DER. */
export function encodeNameConstraints({ permitted, excluded }: NameConstraints): Buffer {
  return element(
    tag.sequence,
    ...(permitted.length > 0 ? [element(context(0, 'constructed'), ...subtrees(permitted))] : []),
    ...(excluded.length > 0 ? [element(context(1, 'constructed'), ...subtrees(excluded))] : []),
  )
}
