// Every way in which a body gets into a signature, from real clients with made-up keys through the data plane to the
// emulator, which verifies head, chunks and trailers.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { Sha256 } from '@aws-crypto/sha256-js'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { HttpRequest } from '@smithy/protocol-http'
import { SignatureV4 } from '@smithy/signature-v4'
import { Secret } from '#base/secret'
import { credential, host, openBed, scopeOf, type Bed } from '../src/daemon/outbound/fixture.ts'
import { openClient, type Client } from '../src/daemon/outbound/talk.ts'
import { openTestEmulator, type TestEmulator } from '../src/emulator/program/test-emulator.ts'

const bucket = 'bucket'
const sizes = [0, 5, 8192, 70_000, 1_000_003]
const hasBoto = spawnSync('python3', ['-c', 'import boto3']).status === 0
const stack = new AsyncDisposableStack()
let emulator: TestEmulator
let bed: Bed
let proxy: Awaited<ReturnType<Bed['listen']>>

before(async () => {
  emulator = stack.use(await openTestEmulator())
  bed = stack.use(
    openBed({
      connectTo: [{ host, port: 443, address: emulator.ready.host, addressPort: emulator.ready.port }],
      upstreamTrust: { systemRootsPem: [readFileSync(emulator.ready.caFile, 'utf8')] },
    }),
  )
  const granted = credential()
  bed.plane.apply(
    scopeOf(443, {
      credentials: [
        {
          ...granted,
          credential: {
            ...granted.credential,
            accessKeyId: emulator.root.accessKeyId,
            secretAccessKey: Secret.of(emulator.root.secretAccessKey),
            sessionToken: Secret.of(''),
          },
        },
      ],
    }),
  )
  proxy = await bed.listen({ host, port: 443 })
  await openS3().send(new CreateBucketCommand({ Bucket: bucket }))
})

after(() => stack.disposeAsync())

/** With made-up keys and somebody's session token, as an SDK insists on some. */
function openS3(options: ConstructorParameters<typeof S3Client>[0] = {}): S3Client {
  const agent = new Agent({ keepAlive: true })
  agent.createConnection = (): Socket =>
    connect({ host: '127.0.0.1', port: proxy.port, servername: host, ca: bed.interceptCaPem })
  const s3 = new S3Client({
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    requestHandler: { httpsAgent: agent },
    credentials: { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret', sessionToken: 'foreign' },
    ...options,
  })
  stack.defer(() => s3.destroy())
  return s3
}

async function readBack(key: string): Promise<Buffer> {
  const { Body } = await openS3().send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return Buffer.from(await Body!.transformToByteArray())
}

/** As a file is read. */
function* inPieces(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536)
}

for (const requestChecksumCalculation of ['WHEN_SUPPORTED', 'WHEN_REQUIRED'] as const) {
  test(`the AWS SDK puts buffers and streams, checksums ${requestChecksumCalculation}`, async () => {
    const s3 = openS3({ requestChecksumCalculation })
    for (const size of sizes) {
      const body = randomBytes(size)
      for (const [form, Body] of [
        ['buffer', body],
        ['stream', Readable.from(inPieces(body))],
      ] as const) {
        const Key = `${requestChecksumCalculation}/${form}/${size}`
        await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body, ContentLength: size }))
        assert((await readBack(Key)).equals(body), Key)
      }
    }
  })
}

test('a URL presigned with made-up keys serves as it was meant, its body unsigned', async () => {
  using client = await openClient(bed, proxy)
  const signer = new SignatureV4({
    service: 's3',
    region: 'us-east-1',
    sha256: Sha256,
    uriEscapePath: false,
    credentials: { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret', sessionToken: 'foreign' },
  })
  const body = randomBytes(100_000)
  for (const [method, sent] of [
    ['PUT', body],
    ['GET', Buffer.alloc(0)],
  ] as const) {
    const path = `/${bucket}/presigned`
    const plain = new HttpRequest({ method, hostname: host, path, headers: { host } })
    const { query = {} } = await signer.presign(plain, { expiresIn: 60 })
    const target = `${path}?${new URLSearchParams(query as Record<string, string>).toString()}`
    const head = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${sent.length}\r\n\r\n`
    const answer = await client.send(Buffer.concat([Buffer.from(head), sent]), method)
    assert.equal(answer?.head.status, 200, String(answer?.body))
    if (method === 'GET') assert(answer.body.equals(body))
  }
})

test(
  'boto3 puts, streams and presigns with its defaults',
  { skip: !hasBoto && 'there is no boto3' },
  async () => {
    const caFile = join(emulator.folder, 'intercept-ca.pem')
    writeFileSync(caFile, bed.interceptCaPem)
    const script = `
import io, os, socket, ssl, sys, urllib.request
import boto3
port, ca = int(sys.argv[1]), sys.argv[2]
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, _, *rest, **named: resolve("127.0.0.1", port, *rest, **named)
endpoint = "https://${host}"
s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, verify=ca,
    config=boto3.session.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}))
def same(key, body):
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body, key
body = os.urandom(300_000)
s3.put_object(Bucket="bucket", Key="boto/bytes", Body=body)
same("boto/bytes", body)
s3.put_object(Bucket="bucket", Key="boto/file", Body=io.BytesIO(body))
same("boto/file", body)
s3.upload_fileobj(io.BytesIO(body), "bucket", "boto/upload")
same("boto/upload", body)
trust = ssl.create_default_context(cafile=ca)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
for version in ["s3v4", "s3"]:
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, verify=ca,
        config=boto3.session.Config(signature_version=version, s3={"addressing_style": "path"}))
    target = {"Bucket": "bucket", "Key": "boto/presigned"}
    put = client.generate_presigned_url("put_object", Params=target, ExpiresIn=60)
    opener.open(urllib.request.Request(put, method="PUT", data=body)).read()
    get = client.generate_presigned_url("get_object", Params=target, ExpiresIn=60)
    assert opener.open(get).read() == body
`
    const run = promisify(execFile)
    await run('python3', ['-c', script, String(proxy.port), caFile], {
      env: {
        PATH: process.env['PATH'],
        AWS_ACCESS_KEY_ID: 'AKIANOTREAL',
        AWS_SECRET_ACCESS_KEY: 'not-a-secret',
        AWS_SESSION_TOKEN: 'foreign',
        AWS_EC2_METADATA_DISABLED: 'true',
      },
    })
  },
)

/** A body as clients frame it that sign each chunk, with signatures that mean nothing. */
function chunked(
  body: Buffer,
  { chunkBytes = 65_536, tail = '\r\n', signature = 'f'.repeat(64) } = {},
): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at <= body.length; at += chunkBytes) {
    const data = body.subarray(at, at + chunkBytes)
    if (data.length === 0) break
    parts.push(
      Buffer.from(`${data.length.toString(16)};chunk-signature=${signature}\r\n`),
      data,
      Buffer.from('\r\n'),
    )
  }
  return Buffer.concat([...parts, Buffer.from(`0;chunk-signature=${signature}\r\n${tail}`)])
}

function putHead(key: string, headers: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`)
  return `PUT /${bucket}/${key} HTTP/1.1\r\nHost: ${host}\r\n${lines.join('')}\r\n`
}

function checksum(body: Buffer): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64')
}

describe('chunks that the client signed with keys of its own are signed anew', () => {
  const payload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  const signed = `x-amz-trailer-signature:${'e'.repeat(64)}\r\n\r\n`
  const common = (mode: string, body: Buffer) => ({
    Authorization:
      'AWS4-HMAC-SHA256 Credential=AKIANOTREAL/x/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0',
    'x-amz-content-sha256': mode,
    'x-amz-decoded-content-length': body.length,
    'Content-Encoding': 'aws-chunked',
  })

  for (const size of sizes) {
    test(`without trailers, ${size} bytes`, async () => {
      using client = await openClient(bed, proxy)
      const body = randomBytes(size)
      const encoded = chunked(body)
      const head = putHead(`chunked/${size}`, { ...common(payload, body), 'Content-Length': encoded.length })
      const answer = await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT')
      assert.equal(answer?.head.status, 200, String(answer?.body))
      assert((await readBack(`chunked/${size}`)).equals(body))
    })
  }

  for (const [form, lineEnd] of [
    ['AWS', '\r\n'],
    ['MinIO', '\n\r\n'],
  ] as const) {
    test(`with a trailer as clients of ${form} write it`, async () => {
      using client = await openClient(bed, proxy)
      const body = randomBytes(200_000)
      const tail = `x-amz-checksum-crc32:${checksum(body)}${lineEnd}${signed}`
      const encoded = chunked(body, { tail })
      const head = putHead(`trailer/${form}`, {
        ...common(`${payload}-TRAILER`, body),
        'x-amz-trailer': 'x-amz-checksum-crc32',
        'Content-Length': encoded.length,
      })
      const answer = await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT')
      assert.equal(answer?.head.status, 200, String(answer?.body))
      assert((await readBack(`trailer/${form}`)).equals(body))
    })
  }

  test('within the chunks of HTTP, however both are cut', async () => {
    using client = await openClient(bed, proxy)
    const body = randomBytes(100_000)
    const encoded = chunked(body, { chunkBytes: 30_000 })
    const head = { ...common(payload, body), 'Transfer-Encoding': 'chunked' }
    void client.link.write(Buffer.from(putHead('both', head)))
    for (let at = 0; at < encoded.length; at += 7777) {
      const piece = encoded.subarray(at, at + 7777)
      void client.link.write(Buffer.from(`${piece.length.toString(16)}\r\n`))
      void client.link.write(piece)
      void client.link.write(Buffer.from('\r\n'))
    }
    assert.equal((await client.send('0\r\n\r\n', 'PUT'))?.head.status, 200)
    assert((await readBack('both')).equals(body))
  })

  test('one after another on a connection, and an unsigned request behind them', async () => {
    using client = await openClient(bed, proxy)
    for (let round = 0; round < 3; round += 1) {
      const body = randomBytes(20_000)
      const encoded = chunked(body)
      const head = putHead('again', { ...common(payload, body), 'Content-Length': encoded.length })
      assert.equal((await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT'))?.head.status, 200)
      const got = await client.send(`GET /${bucket}/again HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      assert(got?.body.equals(body))
    }
  })

  /** Sends what must not arrive, and answers with what the client is told. */
  async function refused(client: Client, encoded: Buffer): Promise<{ status: number; text: string }> {
    const head = putHead('bad', { ...common(payload, Buffer.alloc(5)), 'Content-Length': encoded.length })
    const answer = await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT')
    return { status: answer?.head.status ?? 0, text: answer?.body.toString() ?? '' }
  }

  test('what is no such body is refused with its reason, and nothing of it is stored', async () => {
    for (const [encoded, reason] of [
      [Buffer.from('5\r\nhello\r\n0\r\n\r\n'), /unsigned chunk/],
      [chunked(Buffer.from('hello')).subarray(0, -2), /trailers: cut off/],
      [Buffer.from('hello'), /ends before its last chunk/],
      [Buffer.from(`5;chunk-signature=${'f'.repeat(64)}\r\nhello!\r\n`), /chunk longer than its size/],
    ] as const) {
      using client = await openClient(bed, proxy)
      const { status, text } = await refused(client, encoded)
      assert.equal(status, 400, text)
      assert.match(text, reason)
    }
    await assert.rejects(readBack('bad'), { name: 'NoSuchKey' })
  })

  test('a chunk beyond the bound is refused with the ways out', async () => {
    using client = await openClient(bed, proxy)
    const head = `${(17 * 1024 * 1024).toString(16)};chunk-signature=${'f'.repeat(64)}\r\n`
    const { status, text } = await refused(client, Buffer.from(head))
    assert.equal(status, 413, text)
    assert.match(text, /exceeds 16777216: send smaller chunks, or raise the buffer limit/)
  })
})

describe('SigV4A, where the client asks for it', () => {
  const asks = { Authorization: 'AWS4-ECDSA-P256-SHA256 Credential=AKIANOTREAL/x, Signature=0' }

  test('an empty body, a hashed one and one in unsigned parts', async () => {
    using client = await openClient(bed, proxy)
    const body = Buffer.from('five!')
    const tail = `x-amz-checksum-crc32:${checksum(body)}\r\n\r\n`
    const unsigned = Buffer.from(`5\r\nfive!\r\n0\r\n${tail}`)
    for (const [headers, encoded] of [
      [{}, Buffer.alloc(0)],
      [{}, body],
      [
        {
          'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
          'x-amz-decoded-content-length': 5,
          'x-amz-trailer': 'x-amz-checksum-crc32',
        },
        unsigned,
      ],
    ] as const) {
      const rest = { ...asks, 'x-amz-region-set': 'us-*,eu-west-1', 'Content-Length': encoded.length }
      const head = putHead('asymmetric', { ...headers, ...rest })
      const answer = await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT')
      assert.equal(answer?.head.status, 200, String(answer?.body))
    }
    assert.equal((await readBack('asymmetric')).toString(), 'five!')
  })

  test('chunks and a trailer, in the room that the client left for signatures', async () => {
    using client = await openClient(bed, proxy)
    const body = randomBytes(100_000)
    const signature = '0'.repeat(140).padEnd(144, '*')
    const tail = `x-amz-checksum-crc32:${checksum(body)}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`
    const encoded = chunked(body, { signature, tail })
    const head = putHead('asymmetric-chunks', {
      ...asks,
      'x-amz-region-set': '*',
      'x-amz-content-sha256': 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': body.length,
      'x-amz-trailer': 'x-amz-checksum-crc32',
      'Content-Encoding': 'aws-chunked',
      'Content-Length': encoded.length,
    })
    const answer = await client.send(Buffer.concat([Buffer.from(head), encoded]), 'PUT')
    assert.equal(answer?.head.status, 200, String(answer?.body))
    assert((await readBack('asymmetric-chunks')).equals(body))
  })
})

test('the emulator saw nothing but good signatures', () => {
  const codes = new Set(emulator.records().map(({ reason = 'good' }) => reason.split(':')[0]))
  assert.deepEqual(codes.difference(new Set(['good', 'NoSuchKey'])), new Set())
})
