import assert from 'node:assert/strict'
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  verify,
  type KeyObject,
} from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { isFault } from '#base/errors'
import { context, element, tag } from './der.ts'
import { makeInterceptChain, makeKey } from './fixture.ts'
import {
  certificatesToPem,
  createCertificateRequest,
  createRootCertificate,
  createSelfSignedCertificate,
  hostConstraints,
  issueCertificate,
  parseCertificateRequest,
  parsePemCertificates,
  spiffeIdOf,
  type SubjectName,
} from './index.ts'
import { signatureAlgorithm, signed } from './signature.ts'

const at = 1_767_225_600_000
const profile = { serial: randomBytes(16), notBefore: at, notAfter: at + 60_000 }
const invalid = (error: unknown) => isFault(error, 'CERTIFICATE_INVALID')
const keys: Record<string, KeyObject> = {
  'P-256': makeKey(),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
}

describe('certificates', () => {
  it('hold what their profile says, whatever kind of key signs', () => {
    for (const key of Object.values(keys)) {
      const certificate = createRootCertificate(key, { ...profile, commonName: 'root' })
      assert.ok(certificate.ca)
      assert.ok(certificate.verify(createPublicKey(key)))
      assert.equal(certificate.subject, 'CN=root')
      assert.equal(certificate.validFromDate.getTime(), at)
      assert.equal(certificate.validToDate.getTime(), at + 60_000)
    }
  })

  it('outlive 2049, when the encoding of times changes', () => {
    const notAfter = Date.UTC(2050, 0, 1)
    const certificate = createSelfSignedCertificate(makeKey(), { ...profile, notAfter, commonName: 'x' })
    assert.equal(certificate.validToDate.getTime(), notAfter)
  })

  it('may be long: the constraints of thousands of hosts take more than 64 KiB', () => {
    const hosts = Array.from({ length: 2_000 }, (_, index) => `bucket-${index}.s3.eu-central-1.amazonaws.com`)
    const signer = {
      key: keys['P-256']!,
      certificate: createRootCertificate(keys['P-256']!, { ...profile, commonName: 'r' }),
    }
    const certificate = issueCertificate(signer, createPublicKey(makeKey()), {
      ...profile,
      commonName: 'intermediate',
      authority: { pathLength: 0, constraints: hostConstraints(hosts) },
    })
    assert(certificate.raw.length > 0x10000)
    assert(certificate.ca && certificate.verify(createPublicKey(signer.key)))
    assert(certificate.checkIssued(signer.certificate))
  })

  it('are constrained to tens of thousands of hosts in no time', () => {
    const hosts = Array.from({ length: 30_000 }, (_, index) => `h${index}.eu-central-1.amazonaws.com`)
    const began = performance.now()
    const { permitted, excluded } = hostConstraints(['amazonaws.com', ...hosts])
    assert.ok(performance.now() - began < 10_000)
    // What is below the first is one of the others, or excluded by it.
    assert.equal(permitted.filter(({ type }) => type === 'dns').length, 30_001)
    assert.equal(excluded.filter(({ type }) => type === 'dns').length, 30_000)
  })

  it('have a positive serial number of minimal length, whatever the random octets', () => {
    const key = makeKey()
    const serials = fc.uint8Array({ minLength: 8, maxLength: 20 })
    fc.assert(
      fc.property(serials, (serial) => {
        const certificate = createSelfSignedCertificate(key, { ...profile, serial, commonName: 'x' })
        assert.match(certificate.serialNumber, /^[4-7]/)
        assert.equal(certificate.serialNumber.length, serial.length * 2)
      }),
      { numRuns: 50 },
    )
  })

  it('are not signed with weak or unknown keys', () => {
    const weak = [
      generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
      generateKeyPairSync('ed25519').privateKey,
    ]
    for (const key of weak) {
      assert.throws(() => createRootCertificate(key, { ...profile, commonName: 'root' }), invalid)
    }
  })

  it('survive the way through PEM, in order', () => {
    const { root, intermediate } = makeInterceptChain(['a.example'], at)
    const pem = `comment\n${certificatesToPem([intermediate, root])}\n# end`
    assert.deepEqual(
      parsePemCertificates(pem).map(({ fingerprint256 }) => fingerprint256),
      [intermediate.fingerprint256, root.fingerprint256],
    )
    assert.throws(() => parsePemCertificates('nothing here'), invalid)
  })
})

describe('certificate requests', () => {
  const [version1, empty] = [element(tag.integer, Uint8Array.of(0)), element(tag.sequence)]
  const noAttributes = element(context(0, 'constructed'))

  it('prove the possession of the key', () => {
    for (const key of Object.values(keys)) {
      const { publicKey } = parseCertificateRequest(createCertificateRequest(key))
      assert.ok(publicKey.equals(createPublicKey(key)))
    }
  })

  it('are refused when any byte was changed', () => {
    const request = createCertificateRequest(makeKey())
    fc.assert(
      fc.property(fc.nat(request.length - 1), fc.integer({ min: 1, max: 255 }), (index, change) => {
        const altered = Buffer.from(request)
        altered[index]! ^= change
        assert.throws(() => parseCertificateRequest(altered), invalid)
      }),
    )
  })

  it('are refused when their key is written in a form that others do not read', () => {
    const key = makeKey()
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
    const [algorithm, point] = [spki.subarray(2, 23), spki.subarray(26)]
    const request = (spkiDer: Uint8Array) =>
      signed(key, element(tag.sequence, version1, empty, spkiDer, noAttributes))
    const spkiOf = (algorithm: Uint8Array, point: Uint8Array) =>
      element(tag.sequence, algorithm, element(tag.bitString, Uint8Array.of(0), point))
    assert.ok(
      parseCertificateRequest(request(spkiOf(algorithm, point))).publicKey.equals(createPublicKey(key)),
    )
    const odd = point.at(-1)! & 1
    const forms = {
      compressed: spkiOf(algorithm, Buffer.concat([Uint8Array.of(2 | odd), point.subarray(1, 33)])),
      hybrid: spkiOf(algorithm, Buffer.concat([Uint8Array.of(6 | odd), point.subarray(1)])),
      infinity: spkiOf(algorithm, Uint8Array.of(0)),
      'a long form of length': spkiOf(
        Buffer.concat([Uint8Array.of(0x30, 0x81), algorithm.subarray(1)]),
        point,
      ),
    }
    for (const [form, spki] of Object.entries(forms)) {
      assert.throws(() => parseCertificateRequest(request(spki)), /cannot be read/, form)
    }
    const explicit = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' })
    assert.throws(() => parseCertificateRequest(createCertificateRequest(explicit.privateKey)), invalid)
  })

  it('are refused for an RSA key under which every padded message is its own signature', () => {
    const n = keys['RSA']!.export({ format: 'jwk' }).n!
    const key = createPublicKey({ key: { kty: 'RSA', n, e: 'AQ' }, format: 'jwk' })
    const spki = key.export({ type: 'spki', format: 'der' })
    const info = element(tag.sequence, version1, empty, spki, noAttributes)
    const digest = createHash('sha256').update(info).digest()
    const digestInfo = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), digest])
    const padding = Buffer.concat([
      Uint8Array.of(0, 1),
      Buffer.alloc(256 - 3 - digestInfo.length, 0xff),
      Uint8Array.of(0),
    ])
    const signature = Buffer.concat([padding, digestInfo])
    assert.ok(verify('sha256', info, key, signature))
    const bits = element(tag.bitString, Uint8Array.of(0), signature)
    const request = element(tag.sequence, info, signatureAlgorithm(keys['RSA']!), bits)
    assert.throws(() => parseCertificateRequest(request), invalid)
  })

  it('are refused when they are noise or too long', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.throws(() => parseCertificateRequest(bytes), invalid)
      }),
    )
    assert.throws(() => parseCertificateRequest(new Uint8Array(10_000)), invalid)
  })
})

describe('the SPIFFE ID of a certificate', () => {
  const key = makeKey()
  const signer = { key, certificate: createRootCertificate(key, { ...profile, commonName: 'root' }) }
  const naming = (names: SubjectName[]) =>
    issueCertificate(signer, createPublicKey(makeKey()), { ...profile, names })
  const id = 'spiffe://example.org/a/b'

  it('is its one URI name', () => {
    assert.equal(spiffeIdOf(naming([{ type: 'uri', value: id }])), id)
    assert.equal(
      spiffeIdOf(
        naming([
          { type: 'dns', value: 'a.example' },
          { type: 'uri', value: id },
        ]),
      ),
      id,
    )
  })

  it('is not read from a certificate with none, two, another scheme, or of a CA', () => {
    assert.throws(() => spiffeIdOf(naming([])), invalid)
    assert.throws(
      () =>
        spiffeIdOf(
          naming([
            { type: 'uri', value: id },
            { type: 'uri', value: `${id}/c` },
          ]),
        ),
      invalid,
    )
    assert.throws(
      () => spiffeIdOf(naming([{ type: 'uri', value: 'https://example.org/a/b' }])),
      (error) => isFault(error, 'IDENTITY_INVALID'),
    )
    // A DNS name cannot pass for a URI name, however it is written.
    assert.throws(() => spiffeIdOf(naming([{ type: 'dns', value: `x, URI:${id}` }])), invalid)
    const authority = createRootCertificate(makeKey(), {
      ...profile,
      commonName: 'root',
      names: [{ type: 'uri', value: id }],
    })
    assert.throws(() => spiffeIdOf(authority), invalid)
  })
})
