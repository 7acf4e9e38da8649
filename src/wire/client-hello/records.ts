const handshakeRecord = 22
const clientHelloType = 1
const recordHeaderBytes = 5
const messageHeaderBytes = 4
/** The longest ClientHello read, as OpenSSL has it. */
const maxMessageBytes = 16 * 1024
/** Every further byte has all of them looked at again: fragments of a byte each must not buy the square of it. */
const maxRecords = 64

export type ClientHelloBody =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'not-tls' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'body'; readonly body: Uint8Array }

function invalid(reason: string): ClientHelloBody {
  return { kind: 'invalid', reason }
}

/** The body of the ClientHello, put together from its TLS records (RFC 8446 sections 4 and 5.1). */
export function readClientHelloBody(bytes: Uint8Array): ClientHelloBody {
  const fragments: Uint8Array[] = []
  let gathered = 0
  let needed = messageHeaderBytes
  for (let at = 0, count = 1; ; count += 1) {
    if (count > maxRecords) return invalid('ClientHello in too many records')
    if (at < bytes.length && bytes[at] !== handshakeRecord) {
      return at === 0 ? { kind: 'not-tls' } : invalid('another record interrupts the ClientHello')
    }
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) {
      return at === 0 ? { kind: 'not-tls' } : invalid('record of an unknown protocol version')
    }
    if (at + recordHeaderBytes > bytes.length) return { kind: 'incomplete' }
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!
    if (length === 0) return invalid('empty handshake record')
    if (length > maxMessageBytes) return invalid('record too long')
    const start = at + recordHeaderBytes
    const fragment = bytes.subarray(start, start + Math.min(length, needed - gathered))
    fragments.push(fragment)
    gathered += fragment.length
    if (needed === messageHeaderBytes && gathered >= 1) {
      const header = joined(fragments, gathered)
      if (header[0] !== clientHelloType) return invalid('first handshake message is not a ClientHello')
      if (gathered === messageHeaderBytes) {
        needed += (header[1]! << 16) | (header[2]! << 8) | header[3]!
        if (needed > maxMessageBytes) return invalid('ClientHello too long')
        const rest = bytes.subarray(
          start + fragment.length,
          start + Math.min(length, fragment.length + needed - gathered),
        )
        fragments.push(rest)
        gathered += rest.length
      }
    }
    if (gathered === needed) {
      return { kind: 'body', body: joined(fragments, gathered).subarray(messageHeaderBytes) }
    }
    if (start + length > bytes.length) return { kind: 'incomplete' }
    at = start + length
  }
}

function joined(fragments: readonly Uint8Array[], length: number): Uint8Array {
  if (fragments.length === 1) return fragments[0]!
  const whole = new Uint8Array(length)
  let at = 0
  for (const fragment of fragments) {
    whole.set(fragment, at)
    at += fragment.length
  }
  return whole
}
