import { sign, verify, type KeyObject } from 'node:crypto'
import { AlgorithmIdentifier } from '@peculiar/asn1-x509'
import { Fault } from '#base/errors'

interface SignatureAlgorithm {
  readonly oid: string
  readonly hash: 'sha256' | 'sha384'
  /** RFC 4055 section 5: RSA identifiers carry NULL parameters, ECDSA ones (RFC 5758) none. */
  readonly parameters: ArrayBuffer | undefined
  readonly fits: (key: KeyObject) => boolean
}

const asn1Null = new Uint8Array([5, 0]).buffer
const minimumRsaBits = 2048

const onCurve = (name: string) => (key: KeyObject) =>
  key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === name

const algorithms: readonly SignatureAlgorithm[] = [
  { oid: '1.2.840.10045.4.3.2', hash: 'sha256', parameters: undefined, fits: onCurve('prime256v1') },
  { oid: '1.2.840.10045.4.3.3', hash: 'sha384', parameters: undefined, fits: onCurve('secp384r1') },
  {
    oid: '1.2.840.113549.1.1.11',
    hash: 'sha256',
    parameters: asn1Null,
    fits: (key) =>
      key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= minimumRsaBits,
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

/** @throws Fault CERTIFICATE_INVALID when the key is of another kind or too short */
export function signatureAlgorithm(key: KeyObject): AlgorithmIdentifier {
  const { oid, parameters } = algorithmFor(key)
  return new AlgorithmIdentifier({ algorithm: oid, ...(parameters && { parameters }) })
}

export function signWith(key: KeyObject, data: Uint8Array): Buffer {
  return sign(algorithmFor(key).hash, data, key)
}

/** Whether `signature` under algorithm `oid` is right; an algorithm that does not fit the key is not. */
export function verifyWith(key: KeyObject, oid: string, data: Uint8Array, signature: Uint8Array): boolean {
  const algorithm = algorithmFor(key)
  return algorithm.oid === oid && verify(algorithm.hash, data, key, signature)
}
