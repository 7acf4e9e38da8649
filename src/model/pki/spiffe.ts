import type { X509Certificate } from 'node:crypto'
import { Fault } from '#base/errors'
import { parseSpiffeId, type SpiffeId } from '#model/identity'
import { context, sequenceOf, type Element } from './der.ts'
import { extensionId } from './extensions.ts'

const subjectAltName = extensionId('subjectAltName')
const extensionsTag = context(3, 'constructed')
const uriTags: readonly number[] = [context(6, 'primitive'), context(6, 'constructed')]

/**
 * Read from DER: the text form of names leaves room for a name that looks like two.
 * @throws RangeError when the certificate is not in DER
 */
function uriNamesOf({ raw }: X509Certificate): readonly string[] {
  const [signed] = sequenceOf(raw) as [Element]
  const extensions = sequenceOf(signed.raw).find(({ tag }) => tag === extensionsTag)
  return (extensions ? sequenceOf(extensions.content) : [])
    .map((extension) => sequenceOf(extension.raw) as [Element, ...Element[]])
    .filter(([id]) => subjectAltName.equals(id.raw))
    .flatMap((parts) => sequenceOf(parts.at(-1)!.content))
    .filter(({ tag }) => uriTags.includes(tag))
    .map(({ content }) => Buffer.from(content).toString('latin1'))
}

/**
 * The SPIFFE ID of an X.509-SVID: its one URI name (X509-SVID sections 2 and 5.2). Says nothing about whether
 * the certificate is to be trusted. @throws Fault CERTIFICATE_INVALID, IDENTITY_INVALID
 */
export function spiffeIdOf(certificate: X509Certificate): SpiffeId {
  if (certificate.ca) throw new Fault('CERTIFICATE_INVALID', 'a CA certificate is not an SVID')
  let uris: readonly string[]
  try {
    uris = uriNamesOf(certificate)
  } catch (error) {
    throw new Fault('CERTIFICATE_INVALID', 'certificate cannot be read', { cause: error })
  }
  if (uris.length !== 1) {
    throw new Fault('CERTIFICATE_INVALID', `an SVID has exactly one URI name, this one has ${uris.length}`)
  }
  return parseSpiffeId(uris[0]!)
}
