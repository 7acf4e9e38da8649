import { type KeyObject, type X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  ExtendedKeyUsage,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
  Validity,
} from '@peculiar/asn1-x509'
import type { EpochMs } from '#base/clock'
import { authorityKeyIdentifier, extension, issuerOf, serialNumber, wholeSeconds } from './certificate.ts'
import { generalName, hostName } from './names.ts'
import { signatureAlgorithm, signWith } from './signature.ts'

const tag = { integer: 0x02, bitString: 0x03, sequence: 0x30, version: 0xa0, extensions: 0xa3 }

/** One DER element: tag, definite length, content (X.690 section 8.1). */
function element(tag: number, ...content: Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0)
  if (length >= 0x10000) throw new TypeError('a leaf has no element of 64 KiB')
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.from(head), ...content], head.length + length)
}

const encode = (value: unknown) => new Uint8Array(AsnConvert.serialize(value))
const version3 = element(tag.version, element(tag.integer, Uint8Array.of(2)))
const emptyName = element(tag.sequence)
const usages = [
  encode(extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature))),
  encode(extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth]))),
]
const noUnusedBits = Uint8Array.of(0)

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
 * `authority.chain` begins with the certificate of `authority.key`. The tree is put together here because it
 * lies on the path of a first connection; each part of it comes from the ASN.1 library.
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
  const tbs = element(
    tag.sequence,
    version3,
    element(tag.integer, new Uint8Array(serialNumber(serial))),
    algorithm,
    name,
    encode(new Validity({ notBefore: wholeSeconds(notBefore), notAfter: wholeSeconds(notAfter) })),
    emptyName,
    publicKey.export({ type: 'spki', format: 'der' }),
    element(
      tag.extensions,
      element(tag.sequence, ...extensions, encode(extension(id_ce_subjectAltName, true, subjectName))),
    ),
  )
  return element(
    tag.sequence,
    tbs,
    algorithm,
    element(tag.bitString, noUnusedBits, signWith(authority.key, tbs)),
  )
}
