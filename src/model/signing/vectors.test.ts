import assert from 'node:assert/strict'
import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import {
  canonicalHeaders,
  canonicalPath,
  canonicalQuery,
  canonicalValue,
  type NameValue,
} from './canonical.ts'
import { ecdsaKey } from './ecdsa-key.ts'
import { encodePath } from './encoding.ts'
import { emptyPayloadHash, signSigV4 } from './index.ts'
import { signerFor } from './signer.ts'
import { authorize } from './sigv4.ts'
import { amzDate } from './timestamp.ts'

/** AWS's published test suites, where the checkout stands beside them. */
const suites = new URL('../../../../shared/vectors/aws-sigv4/', import.meta.url)

interface Context {
  credentials: { access_key_id: string; secret_access_key: string; token?: string }
  normalize: boolean
  region: string
  service: string
  sign_body: boolean
  timestamp: string
  omit_session_token?: boolean
}

interface VectorRequest {
  method: string
  path: string
  query: string
  headers: NameValue[]
  body: string
}

function parseVector(text: string): VectorRequest {
  const [head = '', body = ''] = text.split(/\n\n(.*)/s)
  const [line = '', ...fields] = head
    .trimEnd()
    .replace(/\n[ \t]+/g, ' ')
    .split('\n')
  const target = line.slice(line.indexOf(' ') + 1, line.lastIndexOf(' '))
  const [path = '', query = ''] = target.split(/\?(.*)/s)
  const headers = fields.map((field) => {
    const colon = field.indexOf(':')
    return { name: field.slice(0, colon).toLowerCase(), value: field.slice(colon + 1) }
  })
  return { method: line.slice(0, line.indexOf(' ')), path, query, headers, body }
}

function credentialOf({ credentials }: Context): AwsCredential {
  return {
    kind: 'aws',
    accessKeyId: credentials.access_key_id,
    secretAccessKey: Secret.of(credentials.secret_access_key),
    sessionToken: Secret.of(credentials.token ?? ''),
    issuedAt: 0,
    expiresAt: 0,
  }
}

function runCase(t: TestContext, version: 'v4' | 'v4a', name: string): void {
  const read = (file: string) =>
    readFileSync(new URL(`${version}/${name}/${file}`, suites), 'utf8').replaceAll('\r\n', '\n')
  const context = JSON.parse(read('context.json')) as Context
  const request = parseVector(read('request.txt'))
  const credential = credentialOf(context)
  const at = Date.parse(context.timestamp)
  const payloadHash = hash('sha256', request.body)
  const { token } = context.credentials
  const { service, region } = context
  const scope = version === 'v4' ? { service, region } : { service, region, regionSet: region }

  const headers = request.headers.map((field) => ({ ...field, value: canonicalValue(field.value) }))
  headers.push({ name: 'x-amz-date', value: amzDate(at) })
  if (version === 'v4a') headers.push({ name: 'x-amz-region-set', value: region })
  if (token !== undefined && !context.omit_session_token)
    headers.push({ name: 'x-amz-security-token', value: token })
  if (context.sign_body) headers.push({ name: 'x-amz-content-sha256', value: payloadHash })
  const parts = {
    method: request.method,
    path: context.normalize ? canonicalPath(request.path, 'normalized') : encodePath(request.path),
    query: canonicalQuery(request.query),
    headers: canonicalHeaders(headers),
    payloadHash,
  }
  const signed = authorize(parts, credential, signerFor(credential, scope, at))
  if (!existsSync(new URL(`${version}/${name}/header-canonical-request.txt`, suites))) {
    return t.diagnostic('published without results: nothing to compare with')
  }
  assert.equal(signed.canonicalRequest, read('header-canonical-request.txt'))
  assert.equal(signed.stringToSign, read('header-string-to-sign.txt'))
  assert.equal(signed.authorization.split('Signature=')[1], signed.signature)
  const published = read('header-signature.txt')
  if (version === 'v4') {
    assert.equal(signed.signature, published)
  } else {
    const publicKey = createPublicKey(ecdsaKey(credential))
    assert.deepEqual(coordinatesOf(publicKey), JSON.parse(read('public-key.json')))
    for (const signature of [published, signed.signature]) {
      const text = Buffer.from(signed.stringToSign)
      assert(verify('sha256', text, publicKey, Buffer.from(signature, 'hex')))
    }
  }

  const signable = /^(?:host|content-type|x-amz-.*)$/
  const asProduct =
    context.normalize &&
    !context.sign_body &&
    !context.omit_session_token &&
    request.headers.every((field) => signable.test(field.name))
  if (!asProduct) return t.diagnostic('only its canonical form: signs what the product leaves unsigned')
  const host = request.headers.find((field) => field.name === 'host')!.value
  const { headers: added } = signSigV4(
    { ...request, host, headers: request.headers.filter((field) => field.name !== 'host'), payloadHash },
    credential,
    scope,
    at,
  )
  const authorization = added.find((field) => field.name === 'authorization')?.value
  // Each signature of SigV4A is another one: what stands before it must be equal.
  const [expected] = version === 'v4' ? [signed.authorization] : signed.authorization.split('Signature=')
  assert.ok(authorization?.startsWith(expected!))
}

/** As the suite writes a public key. */
function coordinatesOf(key: KeyObject): { X: string; Y: string } {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return {
    X: Buffer.from(x, 'base64url').toString('hex'),
    Y: Buffer.from(y, 'base64url').toString('hex'),
  }
}

if (existsSync(suites)) {
  for (const version of ['v4', 'v4a'] as const) {
    for (const name of readdirSync(new URL(`${version}/`, suites))) {
      test(`AWS test suite: ${version} ${name}`, (t) => runCase(t, version, name))
    }
  }
} else {
  test('AWS test suite', (t) =>
    t.diagnostic('not beside this checkout: only the published examples are tested'))
}

/** "Signature Calculations for the Authorization Header", Amazon S3 API Reference. */
const published = {
  credential: {
    kind: 'aws',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: Secret.of('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'),
    sessionToken: Secret.of(''),
    issuedAt: 0,
    expiresAt: 0,
  },
  at: Date.parse('2013-05-24T00:00:00Z'),
  signatures: {
    lifecycle: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    'max-keys=2&prefix=J': '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
} as const

for (const [query, signature] of Object.entries(published.signatures)) {
  test(`the published S3 example ?${query} gets the published signature`, () => {
    const { headers } = signSigV4(
      {
        method: 'GET',
        host: 'examplebucket.s3.amazonaws.com',
        path: '/',
        query,
        headers: [],
        payloadHash: emptyPayloadHash,
      },
      published.credential,
      { service: 's3', region: 'us-east-1' },
      published.at,
    )
    assert.deepEqual(headers, [
      { name: 'x-amz-date', value: '20130524T000000Z' },
      { name: 'x-amz-content-sha256', value: emptyPayloadHash },
      {
        name: 'authorization',
        value: `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${signature}`,
      },
    ])
  })
}
