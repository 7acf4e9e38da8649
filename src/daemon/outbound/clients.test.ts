import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import type { IncomingMessage, RequestListener } from 'node:http'
import { Agent, createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { Sha256 } from '@aws-crypto/sha256-js'
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { HttpRequest } from '@smithy/protocol-http'
import { SignatureV4 } from '@smithy/signature-v4'
import { host, openAuthority, openBed, scopeOf, secretText, serverIdentity, tokenText } from './fixture.ts'
import { openHttp2Client, readAnswer } from './http2-talk.ts'

/** Clients as workloads have them, without a credential, against an upstream that verifies what arrives. */

const run = promisify(execFile)

const tables = 'dynamodb.us-east-1.amazonaws.com'
const trailerMode = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

/** Signs again what was signed, with an implementation that is not ours. */
async function isSignedWell(request: IncomingMessage, body: Buffer): Promise<boolean> {
  const { headers, method = '', url = '' } = request
  const service = headers.host === tables ? 'dynamodb' : 's3'
  const [, signed = ''] = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? []
  const { pathname, searchParams } = new URL(url, `https://${host}`)
  const names = signed.split(';').filter((name) => name !== 'x-amz-date' && name !== 'x-amz-security-token')
  const [, date = ''] = /^(\d{8}T\d{6}Z)$/.exec(String(headers['x-amz-date'])) ?? []
  const hash = createHash('sha256').update(body).digest('hex')
  const digest = headers['x-amz-content-sha256']
  const isAsSigned = service === 'dynamodb' ? digest === undefined || digest === hash : digest === hash
  if (!isAsSigned && digest !== 'UNSIGNED-PAYLOAD' && digest !== trailerMode) return false
  const signer = new SignatureV4({
    service,
    region: 'us-east-1',
    sha256: Sha256,
    uriEscapePath: service !== 's3',
    applyChecksum: false,
    credentials: { accessKeyId: 'ASIAFIRST', secretAccessKey: secretText, sessionToken: tokenText },
  })
  const again = await signer.sign(
    new HttpRequest({
      method,
      protocol: 'https:',
      hostname: String(headers.host),
      path: pathname,
      query: Object.fromEntries(searchParams),
      body,
      headers: Object.fromEntries(names.map((name) => [name, String(headers[name])])),
    }),
    { signingDate: new Date(date.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5')) },
  )
  return again.headers['authorization'] === headers.authorization
}

/** What `aws-chunked` frames, without its trailers. */
function unframed(body: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ;) {
    const lineEnd = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.toString('latin1', at, lineEnd), 16)
    if (size === 0) return Buffer.concat(chunks)
    chunks.push(body.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}

/** A bucket that keeps one body per key, and answers 403 to whoever signs badly. */
function bucket(): RequestListener {
  const objects = new Map<string, Buffer>()
  return (request, response) => {
    const serve = async () => {
      const parts: Buffer[] = []
      for await (const part of request) parts.push(part as Buffer)
      const body = Buffer.concat(parts)
      response.statusCode = (await isSignedWell(request, body)) ? 200 : 403
      const key = new URL(request.url!, `https://${host}`).pathname
      if (response.statusCode === 403) return response.end('SignatureDoesNotMatch')
      const framed = request.headers['x-amz-content-sha256'] === trailerMode
      if (request.method === 'PUT') objects.set(key, framed ? unframed(body) : body)
      const held = objects.get(key)
      if (!held) response.statusCode = 404
      response.setHeader('content-length', request.method === 'PUT' ? 0 : (held?.length ?? 0))
      return response.end(request.method === 'GET' ? held : undefined)
    }
    serve().catch(() => response.destroy())
  }
}

/** A table that keeps one item. */
function table(): RequestListener {
  let kept: unknown
  return (request, response) => {
    const serve = async () => {
      const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>))
      response.setHeader('content-type', 'application/x-amz-json-1.0')
      if (!(await isSignedWell(request, body))) {
        response.statusCode = 400
        return response.end('{"__type":"InvalidSignatureException"}')
      }
      const asked = JSON.parse(body.toString()) as { Item?: unknown }
      if (asked.Item !== undefined) kept = asked.Item
      return response.end(JSON.stringify(asked.Item === undefined ? { Item: kept } : {}))
    }
    serve().catch(() => response.destroy())
  }
}

/** An upstream of that name, and a plane between it and clients that hold no credential for it. */
async function openWorld({ name = host, serve = bucket() }: { name?: string; serve?: RequestListener } = {}) {
  const stack = new AsyncDisposableStack()
  const authority = openAuthority('upstream')
  const server = createServer(serverIdentity(name, { authority }), serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  const upstream = (server.address() as AddressInfo).port
  const bed = stack.use(
    openBed({
      connectTo: [{ host: name, port: 443, address: '127.0.0.1', addressPort: upstream }],
      upstreamTrust: { systemRootsPem: [authority.certificate.toString()] },
    }),
  )
  bed.plane.apply(scopeOf(443, { service: { addresses: [{ host: name, port: 443 }] } }))
  const proxy = await bed.listen({ host: name, port: 443 })
  const { port } = proxy
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'tideway-clients-')))
  const caFile = join(folder.path, 'ca.pem')
  await writeFile(caFile, bed.interceptCaPem)
  /** Signs with made-up keys, as an SDK insists on some; connects to the plane as if captured. */
  const settings = () => {
    const agent = new Agent({ keepAlive: true })
    agent.createConnection = (): Socket =>
      connect({ host: '127.0.0.1', port, servername: name, ca: bed.interceptCaPem })
    return {
      region: 'us-east-1',
      maxAttempts: 1,
      requestHandler: { httpsAgent: agent },
      credentials: { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret' },
    }
  }
  const openS3 = () => new S3Client({ ...settings(), forcePathStyle: true })
  return {
    bed,
    proxy,
    port,
    settings,
    openS3,
    folder: folder.path,
    caFile,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function missing(command: string): string | false {
  return spawnSync(command, ['--version']).status === 0 ? false : `${command} is not installed`
}

test('the S3 client of the AWS SDK puts, heads and gets objects', async () => {
  await using world = await openWorld()
  const s3 = world.openS3()
  for (const size of [0, 5, 1_000_000]) {
    const Body = randomBytes(size)
    const object = { Bucket: 'bucket', Key: `a folder/é+${size}` }
    await s3.send(new PutObjectCommand({ ...object, Body }))
    assert.equal((await s3.send(new HeadObjectCommand(object))).ContentLength, size)
    const got = await s3.send(new GetObjectCommand(object))
    assert(Buffer.from(await got.Body!.transformToByteArray()).equals(Body))
  }
  assert(world.bed.audit.starts.every(({ decision }) => decision === 'injected'))
  assert.equal(world.bed.plane.stats().refused, 0)
  s3.destroy()
})

test('the S3 client of the AWS SDK puts a stream whose checksum comes behind it', async () => {
  await using world = await openWorld()
  const s3 = world.openS3()
  const content = randomBytes(300_000)
  const object = { Bucket: 'bucket', Key: 'stream' }
  const parts = [content.subarray(0, 100_000), content.subarray(100_000)]
  await s3.send(
    new PutObjectCommand({ ...object, Body: Readable.from(parts), ContentLength: content.length }),
  )
  const got = await s3.send(new GetObjectCommand(object))
  assert(Buffer.from(await got.Body!.transformToByteArray()).equals(content))
  s3.destroy()
})

test('the DynamoDB client of the AWS SDK puts and gets an item', async () => {
  await using world = await openWorld({ name: tables, serve: table() })
  const dynamo = new DynamoDBClient(world.settings())
  const Item = { id: { S: 'one' }, text: { S: 'é☃' } }
  await dynamo.send(new PutItemCommand({ TableName: 'table', Item }))
  const got = await dynamo.send(new GetItemCommand({ TableName: 'table', Key: { id: { S: 'one' } } }))
  assert.deepEqual(got.Item, Item)
  assert(world.bed.audit.starts.every(({ decision }) => decision === 'injected'))
  dynamo.destroy()
})

test('an empty body may be announced over HTTP/2, as clients in Go do', async () => {
  await using world = await openWorld()
  using client = await openHttp2Client(world.bed, world.proxy)
  const put = client.start(
    { ':method': 'PUT', ':path': '/bucket/empty', 'content-length': 0 },
    { endStream: true },
  )
  assert.equal((await readAnswer(put)).headers[':status'], 200)
})

test('the AWS SDK shows the reason of a refusal', async () => {
  await using world = await openWorld()
  world.bed.plane.apply(scopeOf(443, { credentials: [] }))
  const s3 = world.openS3()
  await assert.rejects(s3.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'key' })), {
    name: 'CREDENTIAL_UNAVAILABLE',
    message: /^tideway: there is no credential yet for binding app-aws/,
  })
  s3.destroy()
})

test('curl puts and gets without any credential', { skip: missing('curl') }, async () => {
  await using world = await openWorld()
  const body = randomBytes(3_000_000)
  const file = join(world.folder, 'body')
  await writeFile(file, body)
  const common = ['--silent', '--show-error', '--fail', '--noproxy', '*', '--cacert', world.caFile]
  const way = ['--connect-to', `${host}:443:127.0.0.1:${world.port}`, `https://${host}/bucket/key`]
  // curl waits for 100 Continue with a body of this size.
  await run('curl', [...common, '--upload-file', file, ...way])
  const { stdout } = await run('curl', [...common, ...way], {
    encoding: 'buffer',
    maxBuffer: 2 * body.length,
  })
  assert(stdout.equals(body))
  const chunked = ['--header', 'Transfer-Encoding: chunked', '--upload-file', file]
  await run('curl', [...common, ...chunked, ...way])
})

test('Python puts and gets with nothing but its standard library', { skip: missing('python3') }, async () => {
  await using world = await openWorld()
  const script = `
import socket, ssl, sys, urllib.request
port, ca = int(sys.argv[1]), sys.argv[2]
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, _, *rest, **named: resolve("127.0.0.1", port, *rest, **named)
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
)
url = "https://${host}/bucket/python"
opener.open(urllib.request.Request(url, data=b"from python", method="PUT")).read()
sys.stdout.write(opener.open(url).read().decode())
`
  const { stdout } = await run('python3', ['-c', script, String(world.port), world.caFile])
  assert.equal(stdout, 'from python')
})

test(
  'a client that does not trust the intercept root is reported with its remedy',
  { skip: missing('curl') },
  async () => {
    const reported: string[] = []
    await using bed = openBed({
      onCondition({ type, subject, status, message }) {
        if (status === 'False') reported.push(`${type} ${subject} ${message}`)
      },
    })
    bed.plane.apply(scopeOf(443))
    const { port } = await bed.listen({ host, port: 443 })
    const way = ['--connect-to', `${host}:443:127.0.0.1:${port}`, `https://${host}/`]
    await assert.rejects(run('curl', ['--silent', '--noproxy', '*', ...way]))
    while (reported.length === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.match(reported[0]!, /^InterceptTrusted workloadidentity\/app .*tideway trust check/)
  },
)
