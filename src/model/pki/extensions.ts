/** Extensions of certificates (RFC 5280 section 4.2.1), as DER. */
import { context, element, tag } from './der.ts'
import { generalName, type SubjectName } from './names.ts'

/** id-ce: 2.5.29. */
const ids = {
  subjectKeyIdentifier: 14,
  keyUsage: 15,
  subjectAltName: 17,
  basicConstraints: 19,
  nameConstraints: 30,
  authorityKeyIdentifier: 35,
  extendedKeyUsage: 37,
}

const yes = element(tag.boolean, Uint8Array.of(0xff))
const isCritical = { critical: yes, informative: new Uint8Array() }

/** Its object identifier. */
export function extensionId(extension: keyof typeof ids): Buffer {
  return element(tag.oid, Uint8Array.of(0x55, 0x1d, ids[extension]))
}

function extension(id: keyof typeof ids, weight: keyof typeof isCritical, value: Uint8Array): Buffer {
  return element(tag.sequence, extensionId(id), isCritical[weight], element(tag.octetString, value))
}

/** Section 4.2.1.9. `pathLength`: how many CA certificates may follow, less than 128. */
export function basicConstraints(authority?: { readonly pathLength?: number }): Buffer {
  const { pathLength } = authority ?? {}
  const limit = pathLength === undefined ? [] : [element(tag.integer, Uint8Array.of(pathLength))]
  return extension(
    'basicConstraints',
    'critical',
    element(tag.sequence, ...(authority ? [yes, ...limit] : [])),
  )
}

/** Section 4.2.1.3, a BIT STRING: how many bits are not used, then the bits. */
const usages = { digitalSignature: Uint8Array.of(7, 0x80), 'keyCertSign and cRLSign': Uint8Array.of(1, 0x06) }

export function keyUsage(usage: keyof typeof usages): Buffer {
  return extension('keyUsage', 'critical', element(tag.bitString, usages[usage]))
}

/** Section 4.2.1.12, id-kp: 1.3.6.1.5.5.7.3. */
const purposes = { serverAuth: 1, clientAuth: 2 }

export type Purpose = keyof typeof purposes

export function extendedKeyUsage(usages: readonly Purpose[]): Buffer {
  const list = usages.map((usage) =>
    element(tag.oid, Uint8Array.of(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, purposes[usage])),
  )
  return extension('extendedKeyUsage', 'informative', element(tag.sequence, ...list))
}

/** Section 4.2.1.2. */
export function subjectKeyIdentifier(identifier: Uint8Array): Buffer {
  return extension('subjectKeyIdentifier', 'informative', element(tag.octetString, identifier))
}

/** Section 4.2.1.1. */
export function authorityKeyIdentifier(identifier: Uint8Array): Buffer {
  const value = element(tag.sequence, element(context(0, 'primitive'), identifier))
  return extension('authorityKeyIdentifier', 'informative', value)
}

/** Section 4.2.1.6: critical where the subject is empty. */
export function subjectAltName(weight: keyof typeof isCritical, names: readonly SubjectName[]): Buffer {
  return extension('subjectAltName', weight, element(tag.sequence, ...names.map(generalName)))
}

/** Section 4.2.1.10. `constraints` is in DER. */
export function nameConstraints(constraints: Uint8Array): Buffer {
  return extension('nameConstraints', 'critical', constraints)
}
