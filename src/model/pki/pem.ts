import { X509Certificate } from 'node:crypto'
import { Fault } from '#base/errors'

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** Certificates as PEM, one after the other, in order (RFC 7468 section 5). */
export function certificatesToPem(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join('')
}

/** The certificates of a PEM text, in order; text around them is ignored. @throws Fault CERTIFICATE_INVALID */
export function parsePemCertificates(text: string): X509Certificate[] {
  const blocks = text.match(block)
  if (!blocks) throw new Fault('CERTIFICATE_INVALID', 'no PEM certificate found')
  return blocks.map(parseCertificate)
}

/** One certificate, DER or PEM. @throws Fault CERTIFICATE_INVALID */
export function parseCertificate(data: Uint8Array | string): X509Certificate {
  try {
    return new X509Certificate(data)
  } catch (error) {
    throw new Fault('CERTIFICATE_INVALID', 'certificate cannot be read', { cause: error })
  }
}
