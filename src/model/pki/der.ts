import { AsnConvert } from '@peculiar/asn1-schema'

export const tag = { integer: 0x02, bitString: 0x03, sequence: 0x30, version: 0xa0, extensions: 0xa3 }

/** Octets of a definite length (X.690 section 8.1.3). */
function lengthOctets(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length)
  const octets: number[] = []
  for (let rest = length; rest > 0; rest >>>= 8) octets.unshift(rest & 0xff)
  return Uint8Array.of(0x80 | octets.length, ...octets)
}

/** One DER element: tag, definite length, content (X.690 section 8.1). */
export function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Uint8Array.of(tag), lengthOctets(length), ...content])
}

/** A value of the ASN.1 library as DER. */
export function encode(value: unknown): Uint8Array {
  return new Uint8Array(AsnConvert.serialize(value))
}
