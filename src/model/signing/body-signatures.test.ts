import assert from 'node:assert/strict'
import { createPublicKey, hash, verify } from 'node:crypto'
import { test } from 'node:test'
import { Sha256 } from '@aws-crypto/sha256-js'
import { SignatureV4 } from '@smithy/signature-v4'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { ecdsaKey } from './ecdsa-key.ts'
import { openChunkSignatures, openEventSignatures, signSigV4 } from './index.ts'
import { signerFor } from './signer.ts'
import { authorize } from './sigv4.ts'

/** The examples of the S3 API reference, "Signature calculations: transferring payload in multiple chunks". */
const credential: AwsCredential = {
  kind: 'aws',
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: Secret.of('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'),
  sessionToken: Secret.of(''),
  issuedAt: 0,
  expiresAt: 0,
}
const scope = { service: 's3', region: 'us-east-1' }
const at = Date.parse('2013-05-24T00:00:00Z')
const dataHashes = [65_536, 1024, 0].map((size) => hash('sha256', Buffer.alloc(size, 'a')))

for (const { mode, extra, seed, chunks, trailer } of [
  {
    mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    extra: { 'content-length': '66824' },
    seed: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    chunks: [
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ],
    trailer: undefined,
  },
  {
    mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    extra: { 'x-amz-trailer': 'x-amz-checksum-crc32c' },
    seed: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
    chunks: [
      'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
      '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
      '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
    ],
    trailer: 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435',
  },
]) {
  test(`the published example of ${mode} gets the published signatures`, () => {
    const headers = {
      'content-encoding': 'aws-chunked',
      host: 's3.amazonaws.com',
      'x-amz-content-sha256': mode,
      'x-amz-date': '20130524T000000Z',
      'x-amz-decoded-content-length': '66560',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      ...extra,
    }
    const { signature } = authorize(
      {
        method: 'PUT',
        path: '/examplebucket/chunkObject.txt',
        query: '',
        headers: Object.entries(headers)
          .map(([name, value]) => ({ name, value }))
          .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
        payloadHash: mode,
      },
      credential,
      signerFor(credential, scope, at),
    )
    assert.equal(signature, seed)
    const signatures = openChunkSignatures({ credential, scope, at, signature })
    assert.deepEqual(
      dataHashes.map((dataHash) => signatures.signChunk(dataHash)),
      chunks,
    )
    if (trailer !== undefined) {
      assert.equal(signatures.signTrailers('x-amz-checksum-crc32c:sOO8/Q==\n'), trailer)
    }
  })
}

test('chunks under SigV4A are signed by the key that signed the head', () => {
  const request = { method: 'PUT', host: 'h', path: '/k', query: '', headers: [], payloadHash: 'x' }
  const { seed } = signSigV4(request, credential, { ...scope, regionSet: '*' }, at)
  const signatures = openChunkSignatures(seed)
  const key = createPublicKey(ecdsaKey(credential))
  let previous = seed.signature
  for (const dataHash of dataHashes) {
    const signature = signatures.signChunk(dataHash)
    const text = [
      'AWS4-ECDSA-P256-SHA256-PAYLOAD',
      '20130524T000000Z',
      '20130524/s3/aws4_request',
      previous,
      hash('sha256', ''),
      dataHash,
    ].join('\n')
    assert(verify('sha256', Buffer.from(text), key, Buffer.from(signature, 'hex')))
    previous = signature
  }
})

test('the messages of an event stream get the signatures that the AWS SDK gives them, past midnight too', async () => {
  const scopeOfStream = { service: 'transcribe', region: 'eu-west-1' }
  const start = Date.parse('2026-01-02T23:59:59Z')
  const signer = new SignatureV4({
    credentials: {
      accessKeyId: credential.accessKeyId,
      secretAccessKey: credential.secretAccessKey.revealText(),
    },
    region: scopeOfStream.region,
    service: scopeOfStream.service,
    sha256: Sha256,
  })
  const signatures = openEventSignatures({
    credential,
    scope: scopeOfStream,
    at: start,
    signature: 'a'.repeat(64),
  })
  let priorSignature = 'a'.repeat(64)
  for (const [index, payload] of ['first', 'second', ''].entries()) {
    const sentAt = start + index * 1000
    const headers = Buffer.from(`date ${index}`)
    const ours = signatures.signEvent(headers, Buffer.from(payload), sentAt)
    priorSignature = await signer.sign(
      { headers, payload: Buffer.from(payload) },
      { signingDate: new Date(sentAt), priorSignature },
    )
    assert.equal(ours.toString('hex'), priorSignature)
  }
})
