import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { canonicalPath } from './canonical.ts'
import {
  emptyPayloadHash,
  signSigV4,
  unsignedPayload,
  type NameValue,
  type UnsignedRequest,
} from './index.ts'

function credentialWith(accessKeyId: string, secret = 'secret'): AwsCredential {
  const secretAccessKey = Secret.of(secret)
  return {
    kind: 'aws',
    accessKeyId,
    secretAccessKey,
    sessionToken: Secret.of('ours'),
    issuedAt: 0,
    expiresAt: 0,
  }
}

const scope = { service: 'ssm', region: 'eu-west-1' }
const at = Date.parse('2026-01-02T03:04:05.678Z')
const base: UnsignedRequest = {
  method: 'POST',
  host: 'ssm.eu-west-1.amazonaws.com',
  path: '/',
  query: '',
  headers: [],
  payloadHash: emptyPayloadHash,
}

function sign(
  request: Partial<UnsignedRequest> = {},
  { service = 'ssm', credential = credentialWith('AKIA') } = {},
) {
  return signSigV4({ ...base, ...request }, credential, { ...scope, service }, at)
}

function valueOf(headers: readonly NameValue[], name: string): string | undefined {
  return headers.find((header) => header.name === name)?.value
}

function signedHeadersOf(headers: readonly NameValue[]): string | undefined {
  return /SignedHeaders=([^,]*)/.exec(valueOf(headers, 'authorization') ?? '')?.[1]
}

test('authentication that a request carries is replaced as a whole', () => {
  const theirs = [
    { name: 'authorization', value: 'Bearer theirs' },
    { name: 'x-amz-date', value: '19990101T000000Z' },
    { name: 'x-amz-security-token', value: 'theirs' },
    { name: 'x-amz-s3session-token', value: 'theirs' },
    { name: 'x-amz-region-set', value: '*' },
  ]
  const { headers, removeHeaders } = sign({ headers: theirs })
  assert.deepEqual(
    theirs.map(({ name }) => name).filter((name) => !removeHeaders.includes(name)),
    [],
  )
  assert.equal(valueOf(headers, 'x-amz-date'), '20260102T030405Z')
  assert.equal(valueOf(headers, 'x-amz-security-token'), 'ours')
  assert.equal(signedHeadersOf(headers), 'host;x-amz-date;x-amz-security-token')
  assert.deepEqual(headers, sign().headers)
})

test('the path of S3 is signed as it is, any other without its dot segments and encoded once more', () => {
  for (const [path, key, other] of [
    ['/a//b/../c/./d%20e/', '/a//b/../c/./d%20e/', '/a/c/d%2520e/'],
    ['/%2e%2E/a+b', '/../a%2Bb', '/%252e%252E/a%2Bb'],
    ['', '/', '/'],
  ] as const) {
    assert.equal(canonicalPath(path, 'as-key'), key)
    assert.equal(canonicalPath(path, 'normalized'), other)
  }
  const authorizationOf = (path: string, service: string) =>
    valueOf(sign({ path }, { service }).headers, 'authorization')
  assert.notEqual(authorizationOf('/a//b', 's3'), authorizationOf('/a/b', 's3'))
  assert.equal(authorizationOf('/a//b', 'ssm'), authorizationOf('/a/b', 'ssm'))
})

test('only what no proxy rewrites is signed', () => {
  const names = [
    'accept',
    'connection',
    'content-length',
    'content-type',
    'te',
    'user-agent',
    'via',
    'x-amz-target',
    'x-amzn-trace-id',
  ]
  const { headers } = sign({ headers: names.map((name) => ({ name, value: 'x' })) })
  assert.equal(signedHeadersOf(headers), 'content-type;host;x-amz-date;x-amz-security-token;x-amz-target')
})

test('presigned authentication leaves the query, however it is spelt, and the rest keeps its bytes', () => {
  const { query } = sign({
    query:
      'b=2&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&a=%7e+&x-amz-date=1&X-Amz-Expires=5&x-id=Get' +
      '&%58-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X%2DAmz-Signature=s&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&' +
      'X-Amz-S3session-Token=t',
  })
  assert.equal(query, 'b=2&a=%7e+&x-id=Get')
  assert.deepEqual(sign({ query: 'X-Amz-Signature=s' }), sign())
})

test("S3's older presigned authentication leaves the query of S3 alone", () => {
  const older = 'versionId=v&AWSAccessKeyId=A&Expires=1&Signature=s%3D&x-amz-security-token=t'
  assert.equal(sign({ query: older }, { service: 's3' }).query, 'versionId=v')
  assert.equal(sign({ query: 'Expires=1&Signature=s' }, { service: 's3' }).query, 'Expires=1&Signature=s')
  const notS3 = 'AWSAccessKeyId=A&Expires=1&Signature=s'
  assert.equal(sign({ query: notS3 }).query, notS3)
})

test('a coding that frames signatures is signed, any other is not', () => {
  const headers = [
    { name: 'content-encoding', value: 'aws-chunked' },
    { name: 'x-amz-decoded-content-length', value: '5' },
    { name: 'x-amz-trailer', value: 'x-amz-checksum-crc32' },
  ]
  const signed = (payloadHash: string) =>
    signedHeadersOf(sign({ headers, payloadHash }, { service: 's3' }).headers)
  const rest =
    'host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-security-token;x-amz-trailer'
  assert.equal(signed('STREAMING-UNSIGNED-PAYLOAD-TRAILER'), `content-encoding;${rest}`)
  assert.equal(signed(emptyPayloadHash), rest)
})

test('the payload hash is declared where the service wants it, the client did, or nothing was hashed', () => {
  const declared = (request: Partial<UnsignedRequest>, service?: string) =>
    valueOf(sign(request, service === undefined ? {} : { service }).headers, 'x-amz-content-sha256')
  assert.equal(declared({}), undefined)
  assert.equal(declared({}, 's3'), emptyPayloadHash)
  assert.equal(declared({}, 'aoss'), emptyPayloadHash)
  assert.equal(declared({ payloadHash: unsignedPayload }), unsignedPayload)
  assert.equal(declared({ headers: [{ name: 'x-amz-content-sha256', value: 'stale' }] }), emptyPayloadHash)
})

test('without a session token none is sent', () => {
  const credential = { ...credentialWith('AKIA'), sessionToken: Secret.of('') }
  assert.equal(signedHeadersOf(sign({}, { credential }).headers), 'host;x-amz-date')
})

test('equal headers are signed as one, in their order', () => {
  const twice = [
    { name: 'x-amz-b', value: '2' },
    { name: 'x-amz-b', value: '1' },
  ]
  assert.equal(
    valueOf(sign({ headers: twice }).headers, 'authorization'),
    valueOf(sign({ headers: [{ name: 'x-amz-b', value: '2,1' }] }).headers, 'authorization'),
  )
})

test('header values are signed as the bytes that are sent', () => {
  const latin1 = Buffer.from('ä').toString('latin1')
  const signatureOf = (value: string) =>
    valueOf(sign({ headers: [{ name: 'x-amz-meta-a', value }] }).headers, 'authorization')
  assert.notEqual(signatureOf(latin1), signatureOf('ä'))
})

test('white space in a header value is SP and HTAB, and no byte of a letter', () => {
  const signatureOf = (value: string) =>
    valueOf(sign({ headers: [{ name: 'x-amz-meta-a', value }] }).headers, 'authorization')
  // The second byte of `à` in UTF-8 is 0xA0, which in latin1 is a space that does not break.
  const bytes = (text: string) => Buffer.from(text).toString('latin1')
  assert.notEqual(signatureOf(bytes('voilà')), signatureOf(bytes('voilà').slice(0, -1)))
  assert.notEqual(signatureOf(bytes('là là')), signatureOf(bytes('là là').replaceAll('\xa0', ' ')))
  assert.notEqual(signatureOf('a\x85'), signatureOf('a'))
  assert.equal(signatureOf('\t a \t b  '), signatureOf('a b'))
})

test('a key derived for one credential, day, region or service serves no other', () => {
  const signatures = new Set<string>()
  const take = (credential: AwsCredential, service: string, region: string, when: number) => {
    const { headers } = signSigV4(base, credential, { service, region }, when)
    signatures.add(/Signature=(.*)/.exec(valueOf(headers, 'authorization')!)![1]!)
  }
  const one = credentialWith('AKIA', 'one')
  const day = 86_400_000
  for (let round = 0; round < 2; round += 1) {
    take(one, 'ssm', 'eu-west-1', at)
    take(credentialWith('AKIA', 'two'), 'ssm', 'eu-west-1', at)
    take(one, 'sqs', 'eu-west-1', at)
    take(one, 'ssm', 'eu-west-2', at)
    take(one, 'ssm', 'eu-west-1', at + day)
  }
  assert.equal(signatures.size, 5)
})

test('more scopes than are remembered sign all the same', () => {
  const credential = credentialWith('AKIA')
  const first = sign({}, { credential })
  for (let scopeNumber = 0; scopeNumber < 200; scopeNumber += 1)
    sign({}, { credential, service: `s${scopeNumber}` })
  assert.deepEqual(sign({}, { credential }), first)
})
