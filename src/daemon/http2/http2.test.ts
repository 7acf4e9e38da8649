import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectClient, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import { systemClock } from '#base/clock'
import { createSelfSignedCertificate } from '#model/pki'
import { writeLines } from './fields.ts'
import { acceptHttp2, connectHttp2, type ConnectedHttp2, type RequestStream } from './index.ts'

const hour = 3_600_000

function serverContext() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = systemClock.now()
  const life = { serial: randomBytes(16), notBefore: now - hour, notAfter: now + hour }
  const certificate = createSelfSignedCertificate(privateKey, { commonName: 'test', ...life })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  return createSecureContext({ key, cert: certificate.toString() })
}

/** Both ends of a TLS connection that has agreed on HTTP/2. */
async function openPair(): Promise<{ client: TLSSocket; server: TLSSocket }> {
  const secureContext = serverContext()
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const raw = connectTcp((listener.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(listener, 'connection')) as [Socket]
  listener.close()
  const server = new TLSSocket(accepted, { isServer: true, secureContext, ALPNProtocols: ['h2'] })
  const client = connect({ socket: raw, ALPNProtocols: ['h2'], rejectUnauthorized: false })
  for (const socket of [server, client]) socket.on('error', () => {})
  await Promise.all([once(server, 'secure'), once(client, 'secureConnect')])
  return { client, server }
}

/** A client of node:http2 whose requests come as streams. */
async function openServerSide() {
  const { client, server } = await openPair()
  const waiting: ((request: RequestStream) => void)[] = []
  const onRequest = (request: RequestStream) => waiting.shift()!(request)
  const connection = acceptHttp2(server, {
    maxStreams: 10,
    random: randomBytes,
    onRequest,
    onClose: () => {},
  })
  const session = connectClient('https://a.example', { createConnection: () => client })
  session.on('error', () => {})
  return {
    session,
    next: () => new Promise<RequestStream>((resolve) => waiting.push(resolve)),
    [Symbol.dispose]() {
      session.destroy()
      connection.destroy()
    },
  }
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const part of stream) text += String(part)
  return text
}

async function asHttp1(headers: OutgoingHttpHeaders, body?: string): Promise<string> {
  using side = await openServerSide()
  const arrived = side.next()
  const stream = side.session.request(headers, { endStream: body === undefined })
  stream.on('error', () => {})
  if (body !== undefined) stream.end(body)
  const text = await readAll(await arrived)
  return text
}

const requests: [name: string, headers: OutgoingHttpHeaders, body: string | undefined, text: string][] = [
  ['one without a body', { ':path': '/a?b' }, undefined, 'GET /a?b HTTP/1.1\r\nhost: a.example\r\n\r\n'],
  [
    'a POST without a body announces that it is empty',
    { ':method': 'POST' },
    undefined,
    'POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0\r\n\r\n',
  ],
  [
    'a body of announced length',
    { ':method': 'PUT', 'content-length': 2 },
    'hi',
    'PUT / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 2\r\n\r\nhi',
  ],
  [
    'a body of unannounced length comes in chunks',
    { ':method': 'PUT' },
    'hi',
    'PUT / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  ],
  [
    'a host that says the same as the authority is one Host',
    { host: 'A.example' },
    undefined,
    'GET / HTTP/1.1\r\nhost: A.example\r\n\r\n',
  ],
  [
    'a host that differs from the authority is a second Host',
    { host: 'b.example' },
    undefined,
    'GET / HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n',
  ],
  [
    'crumbs of a cookie are put together',
    { cookie: ['a=1', 'b=2'] },
    undefined,
    'GET / HTTP/1.1\r\nhost: a.example\r\ncookie: a=1; b=2\r\n\r\n',
  ],
  [
    'a scheme other than that of the connection shows in the target',
    { ':scheme': 'http' },
    undefined,
    'GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n',
  ],
]

for (const [name, headers, body, text] of requests) {
  test(`a request of HTTP/2 as HTTP/1.1: ${name}`, async () => {
    assert.equal(await asHttp1({ ':authority': 'a.example', ...headers }, body), text)
  })
}

test('a line that would break out of its place is not written, whatever nghttp2 lets through', () => {
  assert.equal(
    String(writeLines('GET / HTTP/1.1', [{ name: 'a', value: 'b' }])),
    'GET / HTTP/1.1\r\na: b\r\n\r\n',
  )
  for (const text of ['x\ry', 'x\ny', 'x\r\ny', 'x\0y']) {
    assert.equal(writeLines(`GET ${text} HTTP/1.1`, []), undefined)
    assert.equal(writeLines('GET / HTTP/1.1', [{ name: text, value: 'b' }]), undefined)
    assert.equal(writeLines('GET / HTTP/1.1', [{ name: 'a', value: text }]), undefined)
  }
})

async function exchange(session: ClientHttp2Session) {
  const stream = session.request({ ':path': '/' })
  stream.on('error', () => {})
  const interims: unknown[] = []
  let trailers: unknown
  stream.on('headers', (headers) => interims.push(headers[':status']))
  stream.on('trailers', (headers) => (trailers = headers['x-sum']))
  const [head] = await once(stream, 'response')
  return { interims, status: head[':status'], fields: head, body: await readAll(stream), trailers }
}

test('a response of HTTP/1.1 over HTTP/2: interim heads, chunks and trailers, however it is cut', async () => {
  using side = await openServerSide()
  const text =
    'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nX-A: 1\r\n' +
    'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\nX-Sum: 3\r\n\r\n'
  for (const step of [1, 7, text.length]) {
    const arrived = side.next()
    const answered = exchange(side.session)
    const request = await arrived
    for (let at = 0; at < text.length; at += step) request.write(text.slice(at, at + step))
    request.destroySoon()
    const { interims, status, fields, body, trailers } = await answered
    assert.deepEqual([interims, status, fields['x-a'], body, trailers], [[103], 200, '1', 'hi!', '3'])
    assert.equal(fields.connection, undefined)
  }
})

test('a response that ends before its end resets its stream', async () => {
  using side = await openServerSide()
  for (const text of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf', 'no HTTP\r\n\r\n']) {
    const arrived = side.next()
    const failed = assert.rejects(exchange(side.session), /INTERNAL_ERROR/)
    const request = await arrived
    if (text) request.write(text)
    request.end()
    await failed
  }
})

test('an upstream connection starts as many requests as its peer allows, and none after a goodbye', async () => {
  const { client, server } = await openPair()
  const held: RequestStream[] = []
  const accepted = acceptHttp2(server, {
    maxStreams: 2,
    random: randomBytes,
    onRequest: (it) => held.push(it),
    onClose: () => {},
  })
  const connection: ConnectedHttp2 = await connectHttp2(client, { timeoutMs: 60_000 })
  const idle = Promise.withResolvers<void>()
  connection.onIdle = () => idle.resolve()
  const streams = [connection.start(), connection.start()]
  assert.equal(connection.hasRoom, false)
  for (const stream of streams) stream.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  while (held.length < 2) await new Promise((resolve) => setImmediate(resolve))
  for (const request of held) request.end('HTTP/1.1 204 No Content\r\n\r\n')
  for (const stream of streams) {
    assert.equal(await readAll(stream), 'HTTP/1.1 204 \r\n\r\n')
    stream.destroy()
  }
  await idle.promise
  assert.equal(connection.hasRoom, true)
  const over = Promise.withResolvers<void>()
  connection.onClose = () => over.resolve()
  accepted.close()
  await over.promise
  assert.equal(connection.hasRoom, false)
  const late = connection.start()
  late.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  await assert.rejects(readAll(late))
  assert.equal(late.refused, true)
})

/** The peer has sent the whole body, of which nothing is read. */
async function untilFull({ inner }: { inner: Duplex | undefined }, bytes: number): Promise<void> {
  for (let turn = 0; turn < 1_000 && inner!.readableLength < bytes; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(inner!.readableLength >= bytes)
}

async function untilDestroyed({ inner }: { inner: Duplex | undefined }): Promise<void> {
  for (let turn = 0; turn < 1_000 && !inner!.destroyed; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(inner!.destroyed, 'it stays in memory with what it holds')
}

test('a response that has arrived whole and is given up unread leaves nothing behind', async () => {
  const { client, server } = await openPair()
  const body = 'x'.repeat(200_000)
  const accepted = acceptHttp2(server, {
    maxStreams: 2,
    random: randomBytes,
    onRequest: (request) => request.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
    onClose: () => {},
  })
  const connection = await connectHttp2(client, { timeoutMs: 60_000 })
  using stack = new DisposableStack()
  for (const side of [connection, accepted]) stack.defer(() => side.destroy())
  const abandoned = connection.start()
  const other = connection.start()
  for (const stream of [abandoned, other]) stream.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  await untilFull(abandoned, 100_000)
  assert.ok((await readAll(other)).endsWith(body))
  abandoned.destroy()
  await untilDestroyed(abandoned)
})

test('an upstream that closes instead of telling its settings is not connected to', async () => {
  const { client, server } = await openPair()
  server.destroy()
  await assert.rejects(connectHttp2(client, { timeoutMs: 60_000 }), { code: 'UPSTREAM_UNREACHABLE' })
})

test('what is not read stays with its sender, each stream by itself', async () => {
  using side = await openServerSide()
  const window = 256 * 1024
  const underWay = window + 2 * 64 * 1024
  const [stalled, other] = [side.next(), side.next()]
  const pouring = Array.from({ length: 2 }, () => {
    const stream = side.session.request({ ':method': 'PUT', 'content-length': 8 * window })
    stream.on('error', () => {})
    stream.end(Buffer.alloc(8 * window))
    return stream
  })
  const unread = await stalled
  // The second goes through whole while the first waits.
  assert.ok((await readAll(await other)).length > 8 * window)
  assert.ok(unread.readableLength <= underWay)
  assert.ok(pouring[0]!.writableLength > 0, 'the client could send all of it')
})
