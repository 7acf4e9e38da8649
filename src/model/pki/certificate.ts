import { createHash, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  type Name,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  Validity,
} from '@peculiar/asn1-x509'
import type { EpochMs } from '#base/clock'
import { element, encode, tag } from './der.ts'
import { encodeNameConstraints, type NameConstraints } from './name-constraints.ts'
import { distinguishedName, generalName, type SubjectName } from './names.ts'
import { signatureAlgorithm, signWith } from './signature.ts'

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
  readonly extendedUsages?: readonly ('serverAuth' | 'clientAuth')[]
  /** Makes it a CA certificate. */
  readonly authority?: {
    /** How many CA certificates may stand between it and a leaf. */
    readonly pathLength?: number
    readonly constraints?: NameConstraints
  }
}

const purposes = { serverAuth: id_kp_serverAuth, clientAuth: id_kp_clientAuth }

const second = 1000
/** X.509 times have whole seconds. */
function wholeSeconds(at: EpochMs): Date {
  return new Date(Math.floor(at / second) * second)
}

/** A positive INTEGER of minimal length: the first octet is within 0x40-0x7f. @throws TypeError */
function serialNumber(random: Uint8Array): ArrayBuffer {
  if (random.length < 8 || random.length > 20) throw new TypeError('a serial number has 8 to 20 octets')
  const bytes = Uint8Array.from(random)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.buffer
}

export function extension(id: string, critical: boolean, value: unknown): Extension {
  return new Extension({ extnID: id, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
}

/** RFC 5280 section 4.2.1.2 method 1; SHA-1 serves as a label here, not as a protection. */
function keyIdentifier(info: SubjectPublicKeyInfo): Buffer {
  return createHash('sha1').update(new Uint8Array(info.subjectPublicKey)).digest()
}

export function authorityKeyIdentifier(identifier: Uint8Array): Extension {
  const value = new AuthorityKeyIdentifier({ keyIdentifier: new SubjectKeyIdentifier(identifier) })
  return extension(id_ce_authorityKeyIdentifier, false, value)
}

function extensionsOf(profile: CertificateProfile, own: Uint8Array, issuer: Uint8Array): Extension[] {
  const { authority, names = [], extendedUsages = [], commonName } = profile
  const usage = authority ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : KeyUsageFlags.digitalSignature
  const basic = new BasicConstraints({
    cA: authority !== undefined,
    ...(authority?.pathLength !== undefined && { pathLenConstraint: authority.pathLength }),
  })
  const list = [
    extension(id_ce_basicConstraints, true, basic),
    extension(id_ce_keyUsage, true, new KeyUsage(usage)),
    extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(own)),
    authorityKeyIdentifier(issuer),
  ]
  if (extendedUsages.length > 0) {
    const usages = new ExtendedKeyUsage(extendedUsages.map((usage) => purposes[usage]))
    list.push(extension(id_ce_extKeyUsage, false, usages))
  }
  if (names.length > 0) {
    const value = new SubjectAlternativeName(names.map(generalName))
    list.push(extension(id_ce_subjectAltName, commonName === undefined, value))
  }
  if (authority?.constraints) {
    list.push(extension(id_ce_nameConstraints, true, encodeNameConstraints(authority.constraints)))
  }
  return list
}

/** What is signed of a certificate, each part in DER unless it is no part of it. */
export interface CertificateParts {
  /** As in `CertificateProfile`. */
  readonly serial: Uint8Array
  readonly algorithm: Uint8Array
  readonly issuer: Uint8Array
  readonly notBefore: EpochMs
  readonly notAfter: EpochMs
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
  readonly extensions: readonly Uint8Array[]
}

const version3 = element(tag.version, element(tag.integer, Uint8Array.of(2)))
const noUnusedBits = Uint8Array.of(0)

/**
 * The certificate of these parts (RFC 5280 section 4.1), as DER. The tree is put together here, each part comes from
 * the ASN.1 library: that would encode all of it a second time once it is signed.
 */
export function signCertificate(key: KeyObject, parts: CertificateParts): Buffer {
  const { serial, algorithm, issuer, notBefore, notAfter, subject, publicKey, extensions } = parts
  const tbs = element(
    tag.sequence,
    version3,
    element(tag.integer, new Uint8Array(serialNumber(serial))),
    algorithm,
    issuer,
    encode(new Validity({ notBefore: wholeSeconds(notBefore), notAfter: wholeSeconds(notAfter) })),
    subject,
    publicKey,
    element(tag.extensions, element(tag.sequence, ...extensions)),
  )
  return element(tag.sequence, tbs, algorithm, element(tag.bitString, noUnusedBits, signWith(key, tbs)))
}

function assemble(
  profile: CertificateProfile,
  publicKey: KeyObject,
  issuer: { key: KeyObject; name: Name; keyIdentifier?: Uint8Array },
): X509Certificate {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const own = keyIdentifier(AsnConvert.parse(spki, SubjectPublicKeyInfo))
  const certificate = signCertificate(issuer.key, {
    serial: profile.serial,
    algorithm: encode(signatureAlgorithm(issuer.key)),
    issuer: encode(issuer.name),
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
    subject: encode(distinguishedName(profile.commonName)),
    publicKey: spki,
    extensions: extensionsOf(profile, own, issuer.keyIdentifier ?? own).map(encode),
  })
  return new X509Certificate(certificate)
}

/** Issuer fields of a CA certificate: its subject and its key identifier. */
export function issuerOf(certificate: X509Certificate): { name: Name; keyIdentifier: Buffer } {
  const { subject, subjectPublicKeyInfo } = AsnConvert.parse(certificate.raw, Certificate).tbsCertificate
  return { name: subject, keyIdentifier: keyIdentifier(subjectPublicKeyInfo) }
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
