import { createHash, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { context, element, sequenceOf, tag, type Element } from './der.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
  subjectAltName,
  subjectKeyIdentifier,
  type Purpose,
} from './extensions.ts'
import { encodeNameConstraints, type NameConstraints } from './name-constraints.ts'
import { distinguishedName, type SubjectName } from './names.ts'
import { signatureAlgorithm, signed } from './signature.ts'

/** Who signs: a CA certificate and the private key that belongs to it. */
export interface Signer {
  readonly key: KeyObject
  readonly certificate: X509Certificate
}

/** What a certificate says, apart from its key and its issuer. */
export interface CertificateProfile {
  /** 8 to 20 random octets; two bits are fixed so that the number is positive (RFC 5280 section 4.1.2.2). */
  readonly serial: Uint8Array
  readonly notBefore: EpochMs
  readonly notAfter: EpochMs
  /** Absent: the subject is empty and the subjectAltName critical. */
  readonly commonName?: string
  readonly names?: readonly SubjectName[]
  readonly extendedUsages?: readonly Purpose[]
  /** Makes it a CA certificate. */
  readonly authority?: {
    /** How many CA certificates may stand between it and a leaf. */
    readonly pathLength?: number
    readonly constraints?: NameConstraints
  }
}

const second = 1000

/** Validity in whole seconds (RFC 5280 section 4.1.2.5): years of two digits up to 2049. */
function time(at: EpochMs): Buffer {
  const date = new Date(Math.floor(at / second) * second)
  const text = date.toISOString().replace(/[-:T]|\.000/g, '')
  if (date.getUTCFullYear() >= 2050) return element(tag.generalizedTime, Buffer.from(text))
  return element(tag.utcTime, Buffer.from(text.slice(2)))
}

/** A positive INTEGER of minimal length: the first octet is within 0x40-0x7f. @throws TypeError */
function serialNumber(random: Uint8Array): Buffer {
  if (random.length < 8 || random.length > 20) throw new TypeError('a serial number has 8 to 20 octets')
  const bytes = Uint8Array.from(random)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return element(tag.integer, bytes)
}

/** RFC 5280 section 4.2.1.2 method 1 of a SubjectPublicKeyInfo; SHA-1 serves as a label here, not as a protection. */
function keyIdentifier(publicKey: Uint8Array): Buffer {
  const [, bits] = sequenceOf(publicKey) as [Element, Element]
  return createHash('sha1').update(bits.content.subarray(1)).digest()
}

function extensionsOf(profile: CertificateProfile, own: Uint8Array, issuer: Uint8Array): Buffer[] {
  const { authority, names = [], extendedUsages = [], commonName } = profile
  const { constraints } = authority ?? {}
  return [
    basicConstraints(authority),
    keyUsage(authority ? 'keyCertSign and cRLSign' : 'digitalSignature'),
    subjectKeyIdentifier(own),
    authorityKeyIdentifier(issuer),
    ...(extendedUsages.length > 0 ? [extendedKeyUsage(extendedUsages)] : []),
    ...(names.length > 0
      ? [subjectAltName(commonName === undefined ? 'critical' : 'informative', names)]
      : []),
    ...(constraints ? [nameConstraints(encodeNameConstraints(constraints))] : []),
  ]
}

/** What is signed of a certificate, each part in DER unless it is no part of it. */
export interface CertificateParts {
  /** As in `CertificateProfile`. */
  readonly serial: Uint8Array
  readonly issuer: Uint8Array
  readonly notBefore: EpochMs
  readonly notAfter: EpochMs
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
  readonly extensions: readonly Uint8Array[]
}

const version3 = element(context(0, 'constructed'), element(tag.integer, Uint8Array.of(2)))

/** The certificate of these parts (RFC 5280 section 4.1), as DER. */
export function signCertificate(key: KeyObject, parts: CertificateParts): Buffer {
  const { serial, issuer, notBefore, notAfter, subject, publicKey, extensions } = parts
  const tbs = element(
    tag.sequence,
    version3,
    serialNumber(serial),
    signatureAlgorithm(key),
    issuer,
    element(tag.sequence, time(notBefore), time(notAfter)),
    subject,
    publicKey,
    element(context(3, 'constructed'), element(tag.sequence, ...extensions)),
  )
  return signed(key, tbs)
}

function assemble(
  profile: CertificateProfile,
  publicKey: KeyObject,
  issuer: { key: KeyObject; name: Uint8Array; keyIdentifier?: Uint8Array },
): X509Certificate {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const own = keyIdentifier(spki)
  const certificate = signCertificate(issuer.key, {
    serial: profile.serial,
    issuer: issuer.name,
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
    subject: distinguishedName(profile.commonName),
    publicKey: spki,
    extensions: extensionsOf(profile, own, issuer.keyIdentifier ?? own),
  })
  return new X509Certificate(certificate)
}

/** Issuer fields of a CA certificate: its subject as DER, and its key identifier. */
export function issuerOf(certificate: X509Certificate): { name: Uint8Array; keyIdentifier: Buffer } {
  const [tbs] = sequenceOf(certificate.raw) as [Element]
  const [, , , , , subject, publicKey] = sequenceOf(tbs.raw)
  return { name: subject!.raw, keyIdentifier: keyIdentifier(publicKey!.raw) }
}

/**
 * Issues an X.509 v3 certificate for `publicKey` (RFC 5280 section 4.1).
 * @throws Fault CERTIFICATE_INVALID when the signer's key is of a kind we do not sign with
 */
export function issueCertificate(
  signer: Signer,
  publicKey: KeyObject,
  profile: CertificateProfile,
): X509Certificate {
  return assemble(profile, publicKey, { key: signer.key, ...issuerOf(signer.certificate) })
}

/** A certificate that `key` signs for itself. @throws Fault CERTIFICATE_INVALID as `issueCertificate` */
export function createSelfSignedCertificate(
  key: KeyObject,
  profile: CertificateProfile & { commonName: string },
): X509Certificate {
  return assemble(profile, createPublicKey(key), { key, name: distinguishedName(profile.commonName) })
}

/** A self-signed CA certificate. @throws Fault CERTIFICATE_INVALID as `issueCertificate` */
export function createRootCertificate(
  key: KeyObject,
  profile: Omit<CertificateProfile, 'authority'> & { commonName: string; pathLength?: number },
): X509Certificate {
  const { pathLength, ...rest } = profile
  return createSelfSignedCertificate(key, {
    ...rest,
    authority: pathLength === undefined ? {} : { pathLength },
  })
}
