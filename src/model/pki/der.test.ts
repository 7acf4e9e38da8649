/** What is put together and taken apart here, as a library for ASN.1 reads it. */
import assert from 'node:assert/strict'
import { createPublicKey, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { CertificationRequest } from '@peculiar/asn1-csr'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  KeyUsage,
  NameConstraints,
  SubjectAlternativeName,
  KeyIdentifier,
} from '@peculiar/asn1-x509'
import * as fc from 'fast-check'
import { element, elementsOf, tag } from './der.ts'
import { makeInterceptChain, makeKey } from './fixture.ts'
import { createCertificateRequest, createRootCertificate, issueCertificate } from './index.ts'

const at = Date.UTC(2026, 10, 23, 12)

/** Each extension by its identifier, as the library reads it, and whether it writes the same again. */
function extensionsIn(raw: Uint8Array) {
  const parsed = AsnConvert.parse(raw, Certificate)
  assert.deepEqual(Buffer.from(AsnConvert.serialize(parsed)), Buffer.from(raw))
  return new Map(parsed.tbsCertificate.extensions!.map((one) => [one.extnID, one]))
}

describe('certificates in DER', () => {
  it('say to the library what their profile says, and are written by it as they are', () => {
    const key = makeKey()
    const root = createRootCertificate(key, {
      commonName: 'Wurzel ä',
      serial: randomBytes(20),
      notBefore: at,
      notAfter: Date.UTC(2051, 0, 2, 3, 4, 5),
      pathLength: 1,
    })
    const { validity, subject } = AsnConvert.parse(root.raw, Certificate).tbsCertificate
    assert.equal(validity.notBefore.getTime().getTime(), at)
    assert.equal(validity.notAfter.getTime().getTime(), Date.UTC(2051, 0, 2, 3, 4, 5))
    assert.equal(subject[0]![0]!.value.utf8String, 'Wurzel ä')
    const basic = extensionsIn(root.raw).get('2.5.29.19')!
    assert.equal(basic.critical, true)
    const { cA, pathLenConstraint } = AsnConvert.parse(basic.extnValue.buffer, BasicConstraints)
    assert.deepEqual([cA, pathLenConstraint], [true, 1])

    const leaf = issueCertificate({ key, certificate: root }, createPublicKey(makeKey()), {
      serial: randomBytes(16),
      notBefore: at,
      notAfter: at + 60_000,
      names: [
        { type: 'dns', value: 'a.example' },
        { type: 'ip', value: '10.1.2.3' },
        { type: 'ip', value: '2001:DB8::1' },
        { type: 'uri', value: 'spiffe://example.org/a' },
      ],
      extendedUsages: ['serverAuth', 'clientAuth'],
    })
    const extensions = extensionsIn(leaf.raw)
    const read = <T>(id: string, type: new () => T) =>
      AsnConvert.parse(extensions.get(id)!.extnValue.buffer, type)
    assert.deepEqual(
      [...read('2.5.29.17', SubjectAlternativeName)].map(
        (name) => name.dNSName ?? name.iPAddress ?? name.uniformResourceIdentifier,
      ),
      ['a.example', '10.1.2.3', '2001:db8::1', 'spiffe://example.org/a'],
    )
    assert.equal(extensions.get('2.5.29.17')!.critical, true)
    assert.deepEqual([...read('2.5.29.37', ExtendedKeyUsage)], ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    assert.deepEqual(read('2.5.29.15', KeyUsage).toJSON(), ['digitalSignature'])
    const own = AsnConvert.parse(extensionsIn(root.raw).get('2.5.29.14')!.extnValue.buffer, KeyIdentifier)
    assert.deepEqual(read('2.5.29.35', AuthorityKeyIdentifier).keyIdentifier, own)
  })

  it('have constraints that the library reads back, addresses with their masks', () => {
    const hosts = ['a.example', '*.b.example', '10.0.0.1', '2001:db8::7', '::ffff:10.0.0.2']
    const { intermediate } = makeInterceptChain(hosts, at)
    const extension = extensionsIn(intermediate.raw).get('2.5.29.30')!
    const { permittedSubtrees, excludedSubtrees } = AsnConvert.parse(
      extension.extnValue.buffer,
      NameConstraints,
    )
    const bases = (subtrees: typeof permittedSubtrees) =>
      [...(subtrees ?? [])].map(
        ({ base }) => base.dNSName ?? base.iPAddress ?? base.rfc822Name ?? base.uniformResourceIdentifier,
      )
    assert.equal(extension.critical, true)
    assert.deepEqual(bases(permittedSubtrees), [
      'a.example',
      'b.example',
      '10.0.0.1/32',
      '2001:db8::7/128',
      '::ffff:a00:2/128',
      'invalid',
      'invalid',
    ])
    assert.deepEqual(bases(excludedSubtrees), ['.a.example', 'invalid', 'invalid'])
  })

  it('names in them are ASCII', () => {
    const key = makeKey()
    const profile = { commonName: 'x', serial: randomBytes(16), notBefore: at, notAfter: at + 1000 }
    assert.throws(
      () =>
        createRootCertificate(key, { ...profile, names: [{ type: 'uri', value: 'spiffe://example.org/ä' }] }),
      TypeError,
    )
  })
})

describe('certificate requests in DER', () => {
  it('are written by the library as they are', () => {
    const der = createCertificateRequest(makeKey())
    const parsed = AsnConvert.parse(der, CertificationRequest)
    assert.deepEqual(Buffer.from(AsnConvert.serialize(parsed)), der)
  })
})

describe('elements', () => {
  const bytes = fc.uint8Array({ maxLength: 300 })

  it('come apart as they were put together', () => {
    fc.assert(
      fc.property(fc.array(bytes), (contents) => {
        const elements = elementsOf(
          Buffer.concat(contents.map((content) => element(tag.octetString, content))),
        )
        assert.deepEqual(
          elements.map(({ content }) => Buffer.from(content)),
          contents.map((content) => Buffer.from(content)),
        )
      }),
    )
  })

  it('are taken in their one form only: what is read is what would be written', () => {
    const starts = [
      [0x04, 0x81],
      [0x04, 0x82, 0x00],
      [0x04, 0x80],
      [0x1f, 0x01],
      [0x04, 0x85, 0, 0, 0, 0],
      [0x30],
    ]
    const noise = fc
      .tuple(fc.constantFrom(...starts), bytes)
      .map(([start, rest]) => Buffer.from([...start, ...rest]))
    fc.assert(
      fc.property(fc.oneof(noise, bytes), (input) => {
        let elements
        try {
          elements = elementsOf(input)
        } catch (error) {
          assert(error instanceof RangeError)
          return
        }
        const written = Buffer.concat(elements.map((one) => element(one.tag, one.content)))
        assert.deepEqual(written, Buffer.from(input))
      }),
      { numRuns: 2000 },
    )
  })

  it('end within what there is', () => {
    for (const bad of [
      [0x04],
      [0x04, 0x01],
      [0x04, 0x81, 0x80],
      [0x04, 0x84, 0xff, 0xff, 0xff, 0xff],
      [0x04, 0x82, 1],
    ]) {
      assert.throws(() => elementsOf(Uint8Array.from(bad)), RangeError)
    }
  })
})
