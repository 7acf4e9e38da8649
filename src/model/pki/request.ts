import { createPublicKey, type KeyObject } from 'node:crypto'
import { CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr'
import { AsnConvert } from '@peculiar/asn1-schema'
import { SubjectPublicKeyInfo } from '@peculiar/asn1-x509'
import { Fault } from '#base/errors'
import { distinguishedName } from './names.ts'
import { signatureAlgorithm, signWith, verifyWith } from './signature.ts'

const maxRequestBytes = 8192

/**
 * A PKCS#10 request for the public half of `key` (RFC 2986), as DER. It names nobody: whoever issues decides
 * the names. @throws Fault CERTIFICATE_INVALID when the key is of a kind we do not sign with
 */
export function createCertificateRequest(key: KeyObject): Buffer {
  const info = new CertificationRequestInfo({
    subject: distinguishedName(),
    subjectPKInfo: AsnConvert.parse(
      createPublicKey(key).export({ type: 'spki', format: 'der' }),
      SubjectPublicKeyInfo,
    ),
  })
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: signatureAlgorithm(key),
    signature: Uint8Array.from(signWith(key, new Uint8Array(AsnConvert.serialize(info)))).buffer,
  })
  return Buffer.from(AsnConvert.serialize(request))
}

/**
 * Reads a PKCS#10 request and verifies its signature, the proof that the sender has the private key. Names and
 * attributes in it are ignored. @throws Fault CERTIFICATE_INVALID
 */
export function parseCertificateRequest(der: Uint8Array): { publicKey: KeyObject } {
  if (der.length > maxRequestBytes) {
    throw new Fault('CERTIFICATE_INVALID', `certificate request is longer than ${maxRequestBytes} bytes`)
  }
  let request: CertificationRequest
  let publicKey: KeyObject
  try {
    request = AsnConvert.parse(der, CertificationRequest)
    publicKey = createPublicKey({
      key: Buffer.from(AsnConvert.serialize(request.certificationRequestInfo.subjectPKInfo)),
      format: 'der',
      type: 'spki',
    })
  } catch (error) {
    throw new Fault('CERTIFICATE_INVALID', 'certificate request cannot be read', { cause: error })
  }
  // SECURITY: the decoder is lenient (BER); only the one DER form of a request is taken.
  if (!Buffer.from(AsnConvert.serialize(request)).equals(der)) {
    throw new Fault('CERTIFICATE_INVALID', 'certificate request is not in DER')
  }
  const { certificationRequestInfoRaw: raw, signatureAlgorithm: algorithm, signature } = request
  if (!raw || !verifyWith(publicKey, algorithm.algorithm, new Uint8Array(raw), new Uint8Array(signature))) {
    throw new Fault('CERTIFICATE_INVALID', 'signature of the certificate request is wrong')
  }
  return { publicKey }
}
