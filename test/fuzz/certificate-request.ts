import assert from 'node:assert/strict'
import { CertificationRequest } from '@peculiar/asn1-csr'
import { AsnConvert } from '@peculiar/asn1-schema'
import { isFault } from '#base/errors'
import { parseCertificateRequest } from '#model/pki'
import { bytesOf, type Target } from './target.ts'

/** The library says what is a request in DER. */
export const certificateRequestTarget: Target = {
  name: 'certificate-request',
  tokens: bytesOf(
    '\x30\x00',
    '\x30\x80',
    '\x30\x81\x80',
    '\x30\x82\x01\x00',
    '\x02\x01\x00',
    '\x03\x02\x00',
    '\xa0\x00',
    '\x1f\x81\x01',
    '\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02',
  ),
  check(input) {
    try {
      parseCertificateRequest(input)
    } catch (error) {
      assert(isFault(error, 'CERTIFICATE_INVALID'), error as Error)
      return `${error.message}: ${error.cause instanceof RangeError ? error.cause.message : 'key'}`
    }
    const written = AsnConvert.serialize(AsnConvert.parse(input, CertificationRequest))
    assert.deepEqual(Buffer.from(written), input)
    return 'request'
  },
}
