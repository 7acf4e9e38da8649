import { createPublicKey, type KeyObject } from 'node:crypto'
import { Fault } from '#base/errors'
import { context, element, sequenceOf, tag, type Element } from './der.ts'
import { distinguishedName } from './names.ts'
import { signed, verifyWith } from './signature.ts'

const maxRequestBytes = 8192

const version1 = element(tag.integer, Uint8Array.of(0))
const noAttributes = element(context(0, 'constructed'))

/**
 * A PKCS#10 request for the public half of `key` (RFC 2986 section 4), as DER. It names nobody: whoever issues decides
 * the names. @throws Fault CERTIFICATE_INVALID when the key is of a kind we do not sign with
 */
export function createCertificateRequest(key: KeyObject): Buffer {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  return signed(key, element(tag.sequence, version1, distinguishedName(), publicKey, noAttributes))
}

/** Of an elliptic curve point, its first octet (RFC 5480 section 2.2). */
const uncompressed = 4

interface RequestParts {
  /** What is signed. */
  readonly info: Uint8Array
  readonly publicKey: KeyObject
  readonly algorithm: Uint8Array
  readonly signature: Uint8Array
}

const shapes = {
  request: [tag.sequence, tag.sequence, tag.bitString],
  info: [tag.integer, tag.sequence, tag.sequence, context(0, 'constructed')],
}

/** @throws RangeError when the elements are others than a request has, in number or kind */
function expectShape(elements: readonly Element[], shape: readonly number[]): void {
  const fits = elements.length === shape.length && elements.every(({ tag }, index) => tag === shape[index])
  if (!fits) throw new RangeError('not the parts of a request')
}

/**
 * SECURITY: only in the one form that every verifier reads: on a named curve, a whole point, in DER (RFC 5480 section
 * 2, RFC 3279 section 2.3.1). OpenSSL takes other forms and would write them into certificates, and it takes the point
 * at infinity, in whose name anybody can sign.
 * @throws RangeError when it is in another form; of OpenSSL's when it cannot be read
 */
function publicKeyOf(spki: Uint8Array): KeyObject {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const [algorithm, bits] = sequenceOf(spki) as [Element, Element]
  const isPlain =
    key.asymmetricKeyType === 'ec'
      ? sequenceOf(algorithm.raw).at(-1)!.tag === tag.oid && bits.content[1] === uncompressed
      : key.export({ type: 'spki', format: 'der' }).equals(spki)
  if (!isPlain) throw new RangeError('not the form of a key that others read')
  return key
}

/** @throws RangeError when it is no request in DER; of OpenSSL's when the key cannot be read */
function takeApart(der: Uint8Array): RequestParts {
  const request = sequenceOf(der)
  expectShape(request, shapes.request)
  const [info, algorithm, signature] = request as [Element, Element, Element]
  const parts = sequenceOf(info.raw)
  expectShape(parts, shapes.info)
  const [version, , publicKey] = parts as [Element, Element, Element]
  if (!version1.equals(version.raw) || signature.content[0] !== 0)
    throw new RangeError('not a request of version 1')
  return {
    info: info.raw,
    publicKey: publicKeyOf(publicKey.raw),
    algorithm: algorithm.raw,
    signature: signature.content.subarray(1),
  }
}

/**
 * Reads a PKCS#10 request and verifies its signature, the proof that the sender has the private key. Names and
 * attributes in it are ignored. @throws Fault CERTIFICATE_INVALID
 */
export function parseCertificateRequest(der: Uint8Array): { publicKey: KeyObject } {
  if (der.length > maxRequestBytes) {
    throw new Fault('CERTIFICATE_INVALID', `certificate request is longer than ${maxRequestBytes} bytes`)
  }
  let request: RequestParts
  try {
    request = takeApart(der)
  } catch (error) {
    throw new Fault('CERTIFICATE_INVALID', 'certificate request cannot be read', { cause: error })
  }
  const { publicKey, algorithm, info, signature } = request
  if (!verifyWith(publicKey, algorithm, info, signature)) {
    throw new Fault('CERTIFICATE_INVALID', 'signature of the certificate request is wrong')
  }
  return { publicKey }
}
