import type { X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate, id_ce_subjectAltName, SubjectAlternativeName } from '@peculiar/asn1-x509'
import { Fault } from '#base/errors'
import { parseSpiffeId, type SpiffeId } from '#model/identity'

/**
 * The SPIFFE ID of an X.509-SVID: its one URI name (X509-SVID sections 2 and 5.2). Says nothing about whether
 * the certificate is to be trusted. @throws Fault CERTIFICATE_INVALID, IDENTITY_INVALID
 */
export function spiffeIdOf(certificate: X509Certificate): SpiffeId {
  if (certificate.ca) throw new Fault('CERTIFICATE_INVALID', 'a CA certificate is not an SVID')
  const { extensions = [] } = AsnConvert.parse(certificate.raw, Certificate).tbsCertificate
  // Read from DER: the text form of names leaves room for a name that looks like two.
  const names = extensions
    .filter(({ extnID }) => extnID === id_ce_subjectAltName)
    .flatMap(({ extnValue }) => [...AsnConvert.parse(extnValue.buffer, SubjectAlternativeName)])
  const uris = names.flatMap(({ uniformResourceIdentifier: uri }) => (uri === undefined ? [] : [uri]))
  if (uris.length !== 1) {
    throw new Fault('CERTIFICATE_INVALID', `an SVID has exactly one URI name, this one has ${uris.length}`)
  }
  return parseSpiffeId(uris[0]!)
}
