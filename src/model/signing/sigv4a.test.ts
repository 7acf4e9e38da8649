import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, hash, verify } from 'node:crypto'
import { test } from 'node:test'
import { Sha256 } from '@aws-crypto/sha256-js'
import { HttpRequest } from '@smithy/protocol-http'
import { SignatureV4a } from '@smithy/signature-v4a'
import * as fc from 'fast-check'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { ecdsaKey } from './ecdsa-key.ts'
import { askedRegionSet, emptyPayloadHash, signSigV4 } from './index.ts'

const host = 'mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com'
const at = Date.parse('2026-01-02T03:04:05Z')

function credentialOf(accessKeyId: string, secretAccessKey: string): AwsCredential {
  return {
    kind: 'aws',
    accessKeyId,
    secretAccessKey: Secret.of(secretAccessKey),
    sessionToken: Secret.of('token'),
    issuedAt: 0,
    expiresAt: 0,
  }
}

/** What a verifier signs again, from the request as it was sent. */
function stringToSign(headers: ReadonlyMap<string, string>, path: string): string {
  const [, scope, signed = ''] =
    /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+)/.exec(headers.get('authorization')!) ?? []
  const lines = signed.split(';').map((name) => `${name}:${headers.get(name)}\n`)
  const canonical = ['GET', path, '', lines.join(''), signed, emptyPayloadHash].join('\n')
  return ['AWS4-ECDSA-P256-SHA256', headers.get('x-amz-date'), scope, hash('sha256', canonical)].join('\n')
}

function signatureOf(headers: ReadonlyMap<string, string>): Buffer {
  return Buffer.from(headers.get('authorization')!.split('Signature=')[1]!, 'hex')
}

const keyId = fc.stringMatching(/^AKI[A-Z0-9]{1,20}$/)
const secret = fc.stringMatching(/^[A-Za-z0-9+/]{1,80}$/)

test('our key verifies what the AWS SDK signs, and what it signs over is what we sign over', async () => {
  await fc.assert(
    fc.asyncProperty(keyId, secret, async (accessKeyId, secretAccessKey) => {
      const credential = credentialOf(accessKeyId, secretAccessKey)
      const publicKey = createPublicKey(ecdsaKey(credential))
      const signer = new SignatureV4a({
        credentials: { accessKeyId, secretAccessKey, sessionToken: 'token' },
        region: '*',
        service: 's3',
        sha256: Sha256,
        uriEscapePath: false,
      })
      const theirs = (await signer.sign(
        new HttpRequest({ method: 'GET', hostname: host, path: '/key', headers: { host } }),
        { signingDate: new Date(at) },
      )) as HttpRequest
      const theirHeaders = new Map(Object.entries(theirs.headers))
      const theirText = stringToSign(theirHeaders, '/key')
      assert(verify('sha256', Buffer.from(theirText), publicKey, signatureOf(theirHeaders)))

      const ours = signSigV4(
        { method: 'GET', host, path: '/key', query: '', headers: [], payloadHash: emptyPayloadHash },
        credential,
        { service: 's3', region: 'us-east-1', regionSet: '*' },
        at,
      )
      const ourHeaders = new Map([
        ['host', host],
        ...ours.headers.map(({ name, value }) => [name, value] as const),
      ])
      assert.equal(stringToSign(ourHeaders, '/key'), theirText)
      assert(verify('sha256', Buffer.from(theirText), publicKey, signatureOf(ourHeaders)))
    }),
    { numRuns: 20 },
  )
})

test('a key is derived once for each credential, and differs between them', () => {
  const one = credentialOf('AKIDEXAMPLE', 'secret')
  assert.equal(ecdsaKey(one), ecdsaKey(one))
  assert(!ecdsaKey(one).equals(ecdsaKey(credentialOf('AKIDEXAMPLE', 'other'))))
  assert(!ecdsaKey(one).equals(ecdsaKey(credentialOf('AKIDOTHER', 'secret'))))
  assert.equal(ecdsaKey(one).asymmetricKeyDetails?.namedCurve, 'prime256v1')
  assert(!ecdsaKey(one).equals(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey))
})

test('the client asks for regions in header or query, and what makes no sense asks for none', () => {
  const asked = (value?: string, query = '') =>
    askedRegionSet(value === undefined ? [] : [{ name: 'x-amz-region-set', value }], query)
  assert.equal(asked(), undefined)
  assert.equal(asked('*'), '*')
  assert.equal(asked('us-west-*,eu-central-1'), 'us-west-*,eu-central-1')
  assert.equal(asked(undefined, 'X-Amz-Region-Set=us-east-1%2Ceu-*&X-Amz-Signature=s'), 'us-east-1,eu-*')
  for (const value of ['', ',', 'US', 'a b', 'a\u00e4', 'a'.repeat(65), 'a,'.repeat(70)]) {
    assert.equal(asked(value), undefined, value)
  }
})
