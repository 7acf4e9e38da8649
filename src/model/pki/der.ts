/**
 * DER, as much of it as certificates and requests take (X.690). They are put together from parts here, and taken apart
 * into parts: an ASN.1 library takes two milliseconds for one certificate and its request, and a server makes one for
 * each daemon when a host is new to all of them.
 */

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** The tag of a context (X.680 section 31.2): `[number]`, of other elements or of octets. */
export const context = (number: number, form: 'constructed' | 'primitive'): number =>
  (form === 'constructed' ? 0xa0 : 0x80) | number

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

/** An element that was read. */
export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** Tag and length included. */
  readonly raw: Uint8Array
}

const longForm = 0x80
const multiByteTag = 0x1f

/** @throws RangeError as `elementsOf` */
function elementAt(bytes: Uint8Array, at: number): Element {
  const [tag = multiByteTag, first = longForm] = bytes.subarray(at, at + 2)
  const octets = first < longForm ? 0 : first - longForm
  let start = at + 2
  let length = octets === 0 ? first : 0
  for (const end = start + octets; start < end; start += 1) length = length * 256 + (bytes[start] ?? NaN)
  const isMinimal =
    octets === 0 ? first < longForm : octets <= 4 && length >= Math.max(longForm, 256 ** (octets - 1))
  if ((tag & multiByteTag) === multiByteTag || !isMinimal || !(start + length <= bytes.length)) {
    throw new RangeError('not in DER')
  }
  return { tag, content: bytes.subarray(start, start + length), raw: bytes.subarray(at, start + length) }
}

/**
 * Takes elements that follow each other apart, such as the content of a sequence. Tags have one octet, lengths the
 * shortest form (X.690 sections 8.1.2.2 and 10.1). @throws RangeError for anything else
 */
export function elementsOf(bytes: Uint8Array): readonly Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length; at += elements.at(-1)!.raw.length) elements.push(elementAt(bytes, at))
  return elements
}

/** The elements in a sequence that is all of `bytes`. @throws RangeError as `elementsOf`, or when it is no sequence */
export function sequenceOf(bytes: Uint8Array): readonly Element[] {
  const [sequence, ...more] = elementsOf(bytes)
  if (sequence?.tag !== tag.sequence || more.length > 0) throw new RangeError('not one sequence')
  return elementsOf(sequence.content)
}
