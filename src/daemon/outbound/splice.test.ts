import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { connect as connectTo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { openTestClock, systemClock } from '#base/clock'
import {
  host,
  listenPlain,
  listenTls,
  openAuthority,
  openBed,
  originOf,
  scopeOf,
  serverIdentity,
} from './fixture.ts'
import { Link } from './link.ts'
import { answering, Client, openClient, openPlainClient, readRequest, request, response } from './talk.ts'

/** Whether the upstream saw a signature. */
const signedOrNot = answering(({ head }) =>
  response(head.headers.some(({ name }) => name === 'authorization') ? 'signed' : 'unsigned'),
)

const address = '127.0.0.1'

test('a stranger reaches the upstream itself, certificate and all', async () => {
  await using bed = openBed()
  bed.identifier.verdict = { kind: 'stranger' }
  const own = openAuthority('own')
  await using upstream = await listenTls(serverIdentity(host, { authority: own }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openClient(bed, proxy, { ca: own.certificate.toString() })
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'unsigned')
  assert.equal(bed.audit.starts.length, 0)
  assert.equal(bed.plane.stats().spliced, 1)
})

test('an identified process reaches an unbound host untouched', async () => {
  await using bed = openBed()
  const own = openAuthority('own')
  const name = 'unbound.example'
  await using upstream = await listenTls(serverIdentity(name, { authority: own }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  const socket = connect({
    host: address,
    port: proxy.port,
    servername: name,
    ca: own.certificate.toString(),
  })
  await once(socket, 'secureConnect')
  using client = new Client(socket)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'unsigned')
})

test('before the first scope everything passes through', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain(signedOrNot)
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'unsigned')
})

test('half-closes pass through a splice in both directions', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain((socket) => {
    const link = new Link(socket)
    void (async () => {
      while (await link.fill());
      void link.write(Buffer.from(`got ${link.held.toString()}`))
      link.end()
    })()
  })
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  void client.link.write(Buffer.from('all'))
  client.link.end()
  while (await client.link.fill());
  assert.equal(client.link.held.toString(), 'got all')
})

test('a splice lasts for as long as its two ends want', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock })
  bed.identifier.verdict = { kind: 'stranger' }
  await using upstream = await listenPlain(signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openPlainClient(await bed.listen({ address, port: upstream.port }))
  for (const path of ['/first', '/a day later']) {
    assert.equal((await client.send(request(`GET ${encodeURI(path)}`)))?.body.toString(), 'unsigned')
    for (let hour = 0; hour < 24; hour++) await clock.advance(3_600_000)
  }
  assert.equal(bed.plane.stats().connections, 1)
})

test('a client that leaves while its upstream is dialled leaves no connection behind', async () => {
  const found = Promise.withResolvers<readonly string[]>()
  const asked = Promise.withResolvers<void>()
  await using bed = openBed({
    resolve: () => {
      asked.resolve()
      return found.promise
    },
  })
  const arrived = Promise.withResolvers<Socket>()
  await using upstream = await listenPlain((socket) => arrived.resolve(socket.resume()))
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ host: 'unbound.example', port: upstream.port })
  using client = await openPlainClient(proxy)
  void client.link.write(Buffer.from('SSH-2.0-x\r\n'))
  await asked.promise
  const socket = client.link.socket as Socket
  socket.resetAndDestroy()
  for (let turn = 0; turn < 1_000 && bed.plane.stats().connections > 0; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  found.resolve([address])
  const left = await arrived.promise
  for (let turn = 0; turn < 1_000 && !left.readableEnded; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(left.readableEnded || left.destroyed, 'it is open still')
  assert.equal(bed.plane.stats().spliced, 0)
})

test('a splice that cannot be dialled is a reset', async () => {
  await using bed = openBed()
  const closed = await listenPlain(() => {})
  await closed[Symbol.asyncDispose]()
  const proxy = await bed.listen({ address, port: closed.port })
  using client = await openPlainClient(proxy)
  await client.ended()
  assert.equal((client.link.error as NodeJS.ErrnoException).code, 'ECONNRESET')
})

test('connections over Unix sockets, as of `tideway run`, break off where others are reset, and end no worker', async () => {
  await using bed = openBed({ limits: { maxConnectionsPerUid: 1 } })
  await using upstream = await listenPlain((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const closed = await listenPlain(() => {})
  await closed[Symbol.asyncDispose]()
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tideway-splice-'))
  const path = join(folder.path, 'relay.sock')
  let { port } = upstream
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
    bed.plane.accept(socket, originOf({ address, port }, { level: 'workload' })),
  )
  server.listen(path)
  await once(server, 'listening')
  const open = (bytes: string) => {
    const client = new Client(connectTo(path))
    void client.link.write(Buffer.from(bytes))
    return client
  }
  using broken = open('broken off by upstream')
  await broken.ended()
  port = closed.port
  using undialled = open('to a port where nobody listens')
  await undialled.ended()
  port = upstream.port
  using first = open('')
  while (bed.plane.stats().connections === 0) await new Promise((resolve) => setImmediate(resolve))
  using second = open('beyond the bound')
  await second.ended()
  assert.equal(first.link.ended, false)
  assert.equal(bed.plane.stats().overflowed, 1)
  server.close()
})

test('a server that speaks first is not kept waiting for the client on a bound port', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock })
  await using upstream = await listenPlain((socket) => {
    const link = new Link(socket)
    void link.write(Buffer.from('220 ready\r\n'))
    void Promise.resolve(link.fill()).then(() => link.write(Buffer.from('250 ok\r\n')))
  })
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  await clock.untilArmed(2)
  await clock.advance(250)
  await client.link.fill()
  assert.equal(client.link.held.toString(), '220 ready\r\n')
  client.link.take(client.link.held.length)
  void client.link.write(Buffer.from('EHLO\r\n'))
  await client.link.fill()
  assert.equal(client.link.held.toString(), '250 ok\r\n')
})

test('a client that is slow to begin is signed all the same', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  const plain = await openPlainClient(proxy)
  plain.link.socket.removeAllListeners('data')
  await clock.untilArmed(2)
  await clock.advance(250)
  const socket = connect({ socket: plain.link.socket, servername: host, ca: bed.interceptCaPem })
  await once(socket, 'secureConnect')
  using client = new Client(socket)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
})

test('a ClientHello in small pieces is put together', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  await using relay = await listenPlain((socket) => {
    const through = connectTo(proxy.port, address)
    through.on('error', () => {})
    through.pipe(socket)
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += 7) through.write(chunk.subarray(at, at + 7))
    })
    socket.on('end', () => through.end())
  })
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openClient(bed, relay)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
})

test('bytes that are neither TLS nor for a plain-text service pass through', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain(signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'unsigned')
})

test('plain text is signed for an address that the service lists, whatever the Host claims', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain(signedOrNot)
  bed.plane.apply(
    scopeOf(upstream.port, {
      service: {
        addresses: [{ host: address, port: upstream.port }],
        signing: { service: 's3', region: 'us-east-1' },
      },
    }),
  )
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  const own = `GET / HTTP/1.1\r\nHost: ${address}:${upstream.port}\r\n\r\n`
  assert.equal((await client.send(own))?.body.toString(), 'signed')
  assert.equal((await client.send(request('GET /')))?.head.status, 421)
})

test('plain text is signed for an address to which the daemon itself resolves a listed name', async () => {
  await using bed = openBed({ resolve: async (name) => (name === host ? [address] : ['192.0.2.1']) })
  await using upstream = await listenPlain(signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openPlainClient(proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
})

test('a host named to a proxy is dialled where the daemon resolves it', async () => {
  await using bed = openBed({ resolve: async () => [address] })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ host, port: upstream.port })
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
})

test('a setting says where a host is dialled, for those who are signed and for strangers', async () => {
  const own = openAuthority('own')
  await using upstream = await listenTls(serverIdentity(host, { authority: own }), signedOrNot)
  await using bed = openBed({
    connectTo: [{ host, port: 4443, address, addressPort: upstream.port }],
    upstreamTrust: { systemRootsPem: [], extraCaPem: own.certificate.toString() },
  })
  bed.plane.apply(scopeOf(4443))
  const proxy = await bed.listen({ host, port: 4443 })
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
  bed.identifier.verdict = { kind: 'stranger' }
  using stranger = await openClient(bed, proxy, { ca: own.certificate.toString() })
  assert.equal((await stranger.send(request('GET /')))?.body.toString(), 'unsigned')
})

test('when the address that was meant does not answer, other addresses of the bound name are tried', async () => {
  await using bed = openBed({ resolve: async () => [address] })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  // Nothing listens on this other loopback address.
  const proxy = await bed.listen({ address: '127.0.0.99', port: upstream.port })
  using client = await openClient(bed, proxy)
  for (let round = 0; round < 2; round += 1) {
    assert.equal((await client.send(request('GET /')))?.body.toString(), 'signed')
  }
  assert.equal(upstream.sockets.length, 1)
})

test('bytes read before the hand-over belong to the connection', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain((socket) => {
    const link = new Link(socket)
    void readRequest(link).then((message) => link.write(Buffer.from(response(message?.head.target))))
  })
  const server = await listenPlain((socket) => {
    socket.pause()
    bed.plane.accept(
      socket,
      {
        level: 'user',
        process: { pid: 1, startTicks: 1n, exeDevice: 1, exeInode: 1n, uid: 1, gid: 1, cgroupId: 0n },
        destination: { address, port: upstream.port },
        netnsCookie: 0n,
      },
      Buffer.from('GET /early '),
    )
  })
  using client = await openPlainClient(server)
  assert.equal((await client.send('HTTP/1.1\r\nHost: x\r\n\r\n'))?.body.toString(), '/early')
  await server[Symbol.asyncDispose]()
})

test('a handshake that stalls is ended, and a client without HTTP is reported', async () => {
  const clock = openTestClock(systemClock.now())
  const reported: string[] = []
  await using bed = openBed({
    clock,
    onCondition: ({ type, status, reason }) => reported.push(`${type} ${status} ${reason}`),
  })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), signedOrNot)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  await assert.rejects(openClient(bed, proxy, { ALPNProtocols: ['spdy/3'] }))
  assert.equal(reported[0], 'ProtocolSupported False NoHttp')
  // Passes on the ClientHello and nothing else.
  await using relay = await listenPlain((socket) => {
    const through = connectTo(proxy.port, address)
    through.on('error', () => {})
    through.on('close', () => socket.destroy())
    through.once('data', () => answered.resolve())
    socket.once('data', (chunk) => through.write(chunk))
  })
  const answered = Promise.withResolvers<void>()
  const ended = assert.rejects(openClient(bed, relay))
  await answered.promise
  await clock.advance(11_000)
  await ended
  const recovered = 'ProtocolSupported True Recovered'
  assert.ok(!reported.includes(recovered))
  using client = await openClient(bed, proxy)
  await client.send(request('GET /'))
  assert.ok(reported.includes(recovered))
})
