/**
 * An address for each name that a development setting dials elsewhere, and that need not exist: workloads in an
 * enclosure get it from our name server, and the daemon takes it for the name again. RFC 2544 keeps 198.18.0.0/15
 * out of the Internet.
 */
export function placeholderAddresses(hosts: readonly string[]): ReadonlyMap<string, string> {
  const unique = [...new Set(hosts)].slice(0, 0xffff)
  return new Map(unique.map((host, index) => [host, `198.18.${(index + 1) >> 8}.${(index + 1) & 255}`]))
}
