import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { openTestClock, systemClock } from '#base/clock'
import { emptyScope } from '#model/scope'
import { host, listenTls, openBed, scopeOf, serverIdentity, type Bed } from './fixture.ts'
import { answering, openClient, request, response } from './talk.ts'

/** WebSockets as the library `ws` speaks them, on both sides of the data plane. */

/** What is used of `ws`. */
interface Peer extends EventEmitter {
  send(data: string | Buffer): void
  close(): void
  terminate(): void
}
interface Library {
  WebSocket: new (url: string, options: object) => Peer
  WebSocketServer: new (options: { server: Server }) => EventEmitter
}
const name: string = 'ws'
const { WebSocket, WebSocketServer } = (await import(name)) as Library

/** An upstream that echoes messages; `requests` holds what opened them. */
async function openEcho(bed: Bed) {
  const server = createServer(serverIdentity(host, { authority: bed.upstreamCa }))
  const sockets = new WebSocketServer({ server })
  const peers: Peer[] = []
  const requests: IncomingMessage[] = []
  sockets.on('connection', (peer: Peer, head: IncomingMessage) => {
    requests.push(head)
    peers.push(peer)
    peer.on('error', () => {})
    peer.on('message', (data: Buffer) => peer.send(data))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    peers,
    [Symbol.dispose]() {
      for (const peer of peers) peer.terminate()
      server.close()
    },
  }
}

async function openPath(bed: Bed, { port }: { port: number }) {
  bed.plane.apply(scopeOf(port))
  const proxy = await bed.listen({ address: '127.0.0.1', port })
  return () => {
    const createConnection = () =>
      connect({ host: '127.0.0.1', port: proxy.port, servername: host, ca: bed.interceptCaPem })
    const socket = new WebSocket(`wss://${host}:${port}/realtime?x=1`, { createConnection })
    socket.on('error', () => {})
    return socket
  }
}

const closed = (peer: EventEmitter) => once(peer, 'close')

test('a WebSocket is opened by a signed request, and carries messages both ways', async () => {
  await using bed = openBed()
  using upstream = await openEcho(bed)
  const open = await openPath(bed, upstream)
  const socket = open()
  await once(socket, 'open')
  const [{ headers, url }] = upstream.requests as [IncomingMessage]
  assert.equal(url, '/realtime?x=1')
  assert.match(headers.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\//)
  for (const size of [1, 1000, 1_000_000]) {
    const message = Buffer.alloc(size, 'x')
    socket.send(message)
    const [echo] = (await once(socket, 'message')) as [Buffer]
    assert(echo.equals(message))
  }
  const done = closed(socket)
  socket.close()
  await done
  const [end] = await bed.audit.untilEnds(1)
  assert.equal(end!.status, 101)
  assert.equal(end!.reason, undefined)
  assert(end!.requestBytes > 1_001_001 && end!.responseBytes > 1_001_001)
  assert.equal(bed.audit.starts.length, 1)
})

test('a WebSocket that upstream closes is closed at the client', async () => {
  await using bed = openBed()
  using upstream = await openEcho(bed)
  const socket = (await openPath(bed, upstream))()
  await once(socket, 'open')
  const done = closed(socket)
  upstream.peers[0]!.close()
  assert.equal((await done)[0], 1005)
})

test('an open WebSocket is cut by a revocation, at both ends', async () => {
  await using bed = openBed()
  using upstream = await openEcho(bed)
  const socket = (await openPath(bed, upstream))()
  await once(socket, 'open')
  const both = [socket, upstream.peers[0]!].map(closed)
  assert.deepEqual(bed.plane.apply(emptyScope), { cut: 1 })
  await Promise.all(both)
  const [end] = await bed.audit.untilEnds(1)
  assert.equal(end!.reason, bed.audit.starts.find(({ decision }) => decision === 'cut')!.reason)
})

test('a WebSocket over which nothing passes is ended after its time', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock, limits: { webSocketIdleMs: 60_000 } })
  using upstream = await openEcho(bed)
  const socket = (await openPath(bed, upstream))()
  await once(socket, 'open')
  const both = [socket, upstream.peers[0]!].map(closed)
  await clock.advance(62_000)
  await Promise.all(both)
})

test('an upgrade to anything else, or to something else as well, is refused', async () => {
  await using bed = openBed()
  bed.plane.apply(scopeOf(443))
  const proxy = await bed.listen({ host, port: 443 })
  for (const protocols of ['h2c', 'websocket, h2c', 'tls/1.0']) {
    using client = await openClient(bed, proxy)
    const answer = await client.send(request('GET /', ['Connection: Upgrade', `Upgrade: ${protocols}`]))
    assert.equal(answer?.head.status, 501)
    assert.match(answer.body.toString(), /upgrade other than to a WebSocket/)
  }
  using client = await openClient(bed, proxy)
  const withBody = ['Connection: Upgrade', 'Upgrade: websocket', 'Content-Length: 1']
  assert.equal((await client.send(request('GET /', withBody, 'x')))?.head.status, 501)
})

test('an upstream that declines leaves an ordinary connection, whose next request is signed', async () => {
  await using bed = openBed()
  const seen: string[] = []
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      seen.push(`${head.target} ${head.upgrade} ${head.headers.some(({ name }) => name === 'authorization')}`)
      return response('no', 'HTTP/1.1 400 Bad Request')
    }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  const asks = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  // What was sent in hope of a WebSocket is read as the next request.
  const hopeful = Buffer.concat([request('GET /socket', asks), request('GET /next')])
  assert.equal((await client.send(hopeful))?.head.status, 400)
  assert.equal((await client.send(''))?.head.status, 400)
  assert.deepEqual(seen, ['/socket true true', '/next false true'])
})

test('an upstream that switches to what nobody asked for is an upstream at fault', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(() => 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n'),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  for (const asks of [[], ['Connection: Upgrade', 'Upgrade: websocket']]) {
    using client = await openClient(bed, proxy)
    assert.equal((await client.send(request('GET /', asks)))?.head.status, 502)
  }
})
