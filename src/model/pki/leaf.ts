import { type KeyObject, type X509Certificate } from 'node:crypto'
import {
  ExtendedKeyUsage,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509'
import type { EpochMs } from '#base/clock'
import { authorityKeyIdentifier, extension, issuerOf, signCertificate } from './certificate.ts'
import { element, encode, tag } from './der.ts'
import { generalName, hostName } from './names.ts'
import { signatureAlgorithm } from './signature.ts'

const emptyName = element(tag.sequence)
const usages = [
  encode(extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature))),
  encode(extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth]))),
]

interface IssuerParts {
  readonly algorithm: Uint8Array
  readonly name: Uint8Array
  readonly extensions: readonly Uint8Array[]
}

/** What all leaves of one issuer share, encoded once: half of the time goes into encoding otherwise. */
const partsByIssuer = new WeakMap<X509Certificate, IssuerParts>()

function issuerParts(certificate: X509Certificate, key: KeyObject): IssuerParts {
  const known = partsByIssuer.get(certificate)
  if (known) return known
  const { name, keyIdentifier } = issuerOf(certificate)
  const parts = {
    algorithm: encode(signatureAlgorithm(key)),
    name: encode(name),
    extensions: [...usages, encode(authorityKeyIdentifier(keyIdentifier))],
  }
  partsByIssuer.set(certificate, parts)
  return parts
}

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
  const { algorithm, name, extensions } = issuerParts(issuer, authority.key)
  const subjectName = new SubjectAlternativeName([generalName(hostName(host))])
  return signCertificate(authority.key, {
    serial,
    algorithm,
    issuer: name,
    notBefore,
    notAfter,
    subject: emptyName,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    extensions: [...extensions, encode(extension(id_ce_subjectAltName, true, subjectName))],
  })
}
