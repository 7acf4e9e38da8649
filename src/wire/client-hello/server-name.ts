const label = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/
const ipv4 = /^\d{1,3}(?:\.\d{1,3}){3}$/

/** Whether a lower-case text is a host name as DNS has them; underscores occur in real ones. */
export function isDnsName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((part) => label.test(part))
}

/** IPv4 in dotted form or anything with the colons of IPv6: not allowed in SNI, yet some clients send it. */
export function isIpLiteral(name: string): boolean {
  return ipv4.test(name) || (name.includes(':') && /^[0-9a-f:.[\]]+$/.test(name))
}
