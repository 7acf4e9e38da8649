import { type KeyObject, type X509Certificate } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { issuerOf, signCertificate } from './certificate.ts'
import { authorityKeyIdentifier, extendedKeyUsage, keyUsage, subjectAltName } from './extensions.ts'
import { distinguishedName, hostName } from './names.ts'

/** What all leaves share. */
const usages = [keyUsage('digitalSignature'), extendedKeyUsage(['serverAuth'])]

/**
 * Mints the TLS server certificate for one host (a DNS name or an IP address), as DER.
 * SECURITY: exactly one subject name, so that no HTTP/2 client takes the connection for another host's (rule 15).
 *
 * `authority.chain` begins with the certificate of `authority.key`.
 * @throws TypeError when `host` is neither a DNS name nor an IP address
 */
export function mintLeaf(request: {
  host: string
  publicKey: KeyObject
  authority: { readonly key: KeyObject; readonly chain: readonly X509Certificate[] }
  notBefore: EpochMs
  notAfter: EpochMs
  /** 8 to 20 random octets. */
  serial: Uint8Array
}): Buffer {
  const { host, publicKey, authority, notBefore, notAfter, serial } = request
  const [issuer] = authority.chain
  if (!issuer) throw new TypeError('the authority has no certificate')
  const { name, keyIdentifier } = issuerOf(issuer)
  return signCertificate(authority.key, {
    serial,
    issuer: name,
    notBefore,
    notAfter,
    subject: distinguishedName(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    extensions: [
      ...usages,
      authorityKeyIdentifier(keyIdentifier),
      subjectAltName('critical', [hostName(host)]),
    ],
  })
}
