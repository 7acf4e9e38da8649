import { sign, verify, type KeyObject } from 'node:crypto'
import { Fault } from '#base/errors'
import { element, tag } from './der.ts'

interface SignatureAlgorithm {
  /** AlgorithmIdentifier in DER. RFC 4055 section 5: RSA ones carry NULL parameters, ECDSA ones (RFC 5758) none. */
  readonly identifier: Buffer
  readonly hash: 'sha256' | 'sha384'
  readonly fits: (key: KeyObject) => boolean
}

const minimumRsaBits = 2048
/** SECURITY: with 1 for an exponent every padded message is its own signature. */
const minimumRsaExponent = 3n

const onCurve = (name: string) => (key: KeyObject) =>
  key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === name

const algorithms: readonly SignatureAlgorithm[] = [
  // ecdsa-with-SHA256: 1.2.840.10045.4.3.2
  { identifier: Buffer.from('300a06082a8648ce3d040302', 'hex'), hash: 'sha256', fits: onCurve('prime256v1') },
  // ecdsa-with-SHA384: 1.2.840.10045.4.3.3
  { identifier: Buffer.from('300a06082a8648ce3d040303', 'hex'), hash: 'sha384', fits: onCurve('secp384r1') },
  {
    // sha256WithRSAEncryption: 1.2.840.113549.1.1.11
    identifier: Buffer.from('300d06092a864886f70d01010b0500', 'hex'),
    hash: 'sha256',
    fits({ asymmetricKeyType, asymmetricKeyDetails: { modulusLength = 0, publicExponent = 0n } = {} }) {
      return (
        asymmetricKeyType === 'rsa' && modulusLength >= minimumRsaBits && publicExponent >= minimumRsaExponent
      )
    },
  },
]

/** The algorithm for a key: P-256, P-384 or RSA of 2048 bits and more. @throws Fault CERTIFICATE_INVALID */
function algorithmFor(key: KeyObject): SignatureAlgorithm {
  const algorithm = algorithms.find(({ fits }) => fits(key))
  if (!algorithm) {
    throw new Fault('CERTIFICATE_INVALID', 'key is neither P-256, P-384 nor RSA of at least 2048 bits')
  }
  return algorithm
}

/** AlgorithmIdentifier in DER. @throws Fault CERTIFICATE_INVALID when the key is of another kind or too short */
export function signatureAlgorithm(key: KeyObject): Uint8Array {
  return algorithmFor(key).identifier
}

/** No bit of the last octet of a BIT STRING is unused (X.690 section 8.6.2.2). */
const noUnusedBits = Uint8Array.of(0)

/**
 * What is signed, the algorithm and the signature, as certificates (RFC 5280 section 4.1) and requests (RFC 2986
 * section 4.2) have them, in DER. @throws Fault CERTIFICATE_INVALID as `signatureAlgorithm`
 */
export function signed(key: KeyObject, content: Uint8Array): Buffer {
  const { hash, identifier } = algorithmFor(key)
  const signature = element(tag.bitString, noUnusedBits, sign(hash, content, key))
  return element(tag.sequence, content, identifier, signature)
}

/** Whether `signature` by the algorithm of `identifier` is right; an algorithm that does not fit the key is not. */
export function verifyWith(
  key: KeyObject,
  identifier: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const algorithm = algorithmFor(key)
  return algorithm.identifier.equals(identifier) && verify(algorithm.hash, data, key, signature)
}
