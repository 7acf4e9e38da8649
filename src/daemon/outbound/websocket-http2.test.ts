import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { emptyScope } from '#model/scope'
import { host, listenTls, openBed, scopeOf, serverIdentity, type Bed } from './fixture.ts'
import { listenHttp2, openHttp2Client, readAnswer } from './http2-talk.ts'
import { answering, openClient, request, response } from './talk.ts'

/** WebSockets over HTTP/2 (RFC 8441) on either side of the data plane; the other side as it likes. */

const ask = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/realtime?x=1' }
const upgrade = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
/** RFC 6455 section 1.3 has it beside that key. */
const acceptance = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

const takesWebSockets = { settings: { enableConnectProtocol: true } }

/** Sends back what it gets, until its peer ends. */
function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' })
  stream.pipe(stream)
}

async function openProxy(bed: Bed, { port }: { port: number }) {
  bed.plane.apply(scopeOf(port))
  return bed.listen({ address: '127.0.0.1', port })
}

/** Writes `bytes` and resolves once as many have come back. */
async function roundTrip(stream: ClientHttp2Stream, bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  const back = new Promise<void>((resolve) => {
    stream.on('data', function take(part: Buffer) {
      parts.push(part)
      size += part.length
      if (size < bytes.length) return
      stream.off('data', take)
      resolve()
    })
  })
  stream.write(bytes)
  await back
  return Buffer.concat(parts)
}

const over = (stream: EventEmitter) => once(stream, 'close')

test('a WebSocket of HTTP/2 is opened upstream by a signed upgrade, and `ws` understands what it carries', async () => {
  await using bed = openBed()
  const name: string = 'ws'
  const { WebSocketServer } = (await import(name)) as {
    WebSocketServer: new (options: { server: Server }) => EventEmitter
  }
  const server = createServer(serverIdentity(host, { authority: bed.upstreamCa }))
  const sockets = new WebSocketServer({ server })
  const opened = once(sockets, 'connection')
  sockets.on('connection', (peer: EventEmitter & { send: (data: Buffer) => void }) => {
    peer.on('message', (data: Buffer) => peer.send(data))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using client = await openHttp2Client(bed, await openProxy(bed, server.address() as AddressInfo))
  const stream = client.start({ ...ask, 'sec-websocket-version': '13', 'sec-websocket-key': 'mine' })
  const [granted] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  assert.equal(granted[':status'], 200)
  assert.equal(granted['sec-websocket-accept'], undefined)
  const [, { headers, url, method }] = (await opened) as [unknown, IncomingMessage]
  assert.deepEqual([method, url, headers.host], ['GET', '/realtime?x=1', host])
  assert.match(headers.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\//)
  assert.equal(Buffer.from(headers['sec-websocket-key'] ?? '', 'base64').length, 16)
  // "hi" in a frame of a client, whose mask is of zeros (RFC 6455 section 5.2), and in one of a server.
  stream.write(Buffer.from('8182000000006869', 'hex'))
  const [frame] = (await once(stream, 'data')) as [Buffer]
  assert.equal(frame.toString('hex'), '82026869')
  stream.end(Buffer.from('888000000000', 'hex'))
  stream.resume()
  await over(stream)
  const [end] = await bed.audit.untilEnds(1)
  assert.deepEqual([end!.status, end!.reason], [101, undefined])
  server.close()
})

test('much passes both ways over HTTP/2 on both sides, and an end is passed on', async () => {
  await using bed = openBed()
  const seen: IncomingHttpHeaders[] = []
  const onStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seen.push(headers)
    echo(stream)
  }
  await using upstream = await listenHttp2(bed, onStream, takesWebSockets)
  using client = await openHttp2Client(bed, await openProxy(bed, upstream))
  const stream = client.start({ ...ask, 'sec-websocket-protocol': 'chat' })
  const [granted] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  assert.equal(granted['sec-websocket-protocol'], 'chat')
  const [head] = seen as [IncomingHttpHeaders]
  assert.deepEqual(
    [head[':method'], head[':protocol'], head[':path']],
    ['CONNECT', 'websocket', ask[':path']],
  )
  assert.match(String(head.authorization), /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\//)
  assert.equal(head['sec-websocket-key'], undefined)
  for (const size of [1, 1000, 3_000_000]) {
    const bytes = Buffer.alloc(size, 'abcdefghijk')
    assert.ok((await roundTrip(stream, bytes)).equals(bytes))
  }
  stream.end()
  stream.resume()
  await over(stream)
  assert.equal((await bed.audit.untilEnds(1))[0]!.reason, undefined)
})

test('a client of HTTP/1.1 gets its WebSocket from an upstream that speaks HTTP/2 alone', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, echo, takesWebSockets)
  using client = await openClient(bed, await openProxy(bed, upstream))
  const granted = await client.send(request('GET /socket', upgrade))
  assert.equal(granted?.head.status, 101)
  const fields = Object.fromEntries(granted.head.headers.map(({ name, value }) => [name, value]))
  assert.deepEqual(
    [fields.upgrade, fields['sec-websocket-accept'], fields['sec-websocket-protocol']],
    ['websocket', acceptance, 'chat'],
  )
  void client.link.write(Buffer.from('there and back'))
  while (client.link.held.length < 14) await client.link.fill()
  assert.equal(client.link.held.toString(), 'there and back')
  client.link.end()
  await client.ended()
})

test('an upstream of HTTP/2 that takes no WebSockets is an upstream at fault, and the client learns why', async () => {
  await using bed = openBed()
  let asked = 0
  await using upstream = await listenHttp2(bed, () => (asked += 1))
  const proxy = await openProxy(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const answer = await readAnswer(client.start(ask))
  assert.equal(answer.status, 502)
  assert.match(answer.body, /speaks HTTP\/2 alone, and takes no WebSocket over it/)
  using old = await openClient(bed, proxy)
  assert.equal((await old.send(request('GET /socket', upgrade)))?.head.status, 502)
  assert.equal(asked, 0)
})

test('what is not granted is no success, and what was sent in hope of it is never read as a request', async () => {
  await using bed = openBed()
  const seen: string[] = []
  const answers = [response('no', 'HTTP/1.1 403 Forbidden'), response('page')]
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      seen.push(head.target)
      return answers[seen.length - 1]!
    }),
  )
  using client = await openHttp2Client(bed, await openProxy(bed, upstream))
  for (const [status, body] of [
    [403, 'no'],
    [502, 'page'],
  ]) {
    const stream = client.start(ask)
    stream.write(request('GET /smuggled'))
    const answer = await readAnswer(stream)
    assert.deepEqual([answer.status, answer.body], [status, body])
  }
  assert.deepEqual(seen, [ask[':path'], ask[':path']])
  assert.equal(bed.audit.starts.length, 2)
})

test('a grant without the right key is none', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(
      () =>
        `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptance}\r\n\r\n`,
    ),
  )
  using client = await openHttp2Client(bed, await openProxy(bed, upstream))
  await assert.rejects(readAnswer(client.start(ask)), /INTERNAL_ERROR/)
})

test('CONNECT for anything else, or to anywhere else, is refused', async () => {
  await using bed = openBed()
  bed.plane.apply(scopeOf(443))
  using client = await openHttp2Client(bed, await bed.listen({ host, port: 443 }))
  for (const protocol of ['connect-udp', 'websocket, h2c', 'h2c', 'web socket', '"websocket"']) {
    const answer = await readAnswer(client.start({ ...ask, ':protocol': protocol }))
    assert.equal(answer.status, 501, protocol)
  }
  const elsewhere: [number, object][] = [
    [421, { ':authority': 'evil.example' }],
    [400, { host: 'evil.example' }],
    [400, { ':scheme': 'wss' }],
    [501, { 'content-length': '5' }],
  ]
  for (const [status, fields] of elsewhere) {
    const answer = await readAnswer(client.start({ ...ask, ...fields }))
    assert.equal(answer.status, status, JSON.stringify(fields))
  }
  assert.equal(
    (await readAnswer(client.start({ ':method': 'CONNECT', ':authority': `${host}:443` }))).status,
    403,
  )
})

test('an open WebSocket is cut by a revocation, on its stream at both ends', async () => {
  await using bed = openBed()
  const ends: Promise<unknown>[] = []
  const onStream = (stream: ServerHttp2Stream) => {
    ends.push(over(stream))
    echo(stream)
  }
  await using upstream = await listenHttp2(bed, onStream, takesWebSockets)
  using client = await openHttp2Client(bed, await openProxy(bed, upstream))
  const stream = client.start(ask)
  await once(stream, 'response')
  const closed = over(stream)
  bed.plane.apply(emptyScope)
  await Promise.all([closed, ...ends])
  const [end] = await bed.audit.untilEnds(1)
  assert.equal(end!.reason, bed.audit.starts.find(({ decision }) => decision === 'cut')!.reason)
})
