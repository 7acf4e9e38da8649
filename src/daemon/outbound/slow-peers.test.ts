import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTo, type Socket } from 'node:net'
import { test } from 'node:test'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import { openTestClock, systemClock, type TestClock } from '#base/clock'
import {
  host,
  identity,
  listenPlain,
  listenTls,
  openBed,
  other,
  scopeOf,
  serverIdentity,
  sharedScopeOf,
  type Bed,
  type Listener,
} from './fixture.ts'
import type { Limits } from './limits.ts'
import { answering, Client, openClient, readRequest, readResponse, request, response } from './talk.ts'
import { Link } from './link.ts'

/**
 * Peers that take their time, on purpose: each is given up after its limit, and what they keep us from passing on
 * stays with its sender, not in our memory.
 */

const address = '127.0.0.1'
/** Much more than all socket buffers on the way hold together. */
const huge = 512 * 1024 * 1024
/** What may be under way in those buffers and in ours. */
const underWay = 64 * 1024 * 1024
const chunk = Buffer.alloc(256 * 1024, 'x')

function openSlowBed(limits: Partial<Limits>): { bed: Bed; clock: TestClock } {
  const clock = openTestClock(systemClock.now())
  return { bed: openBed({ clock, limits }), clock }
}

async function openWay(bed: Bed, onSocket: (socket: Socket) => void) {
  const upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), onSocket)
  bed.plane.apply(scopeOf(upstream.port))
  return { upstream, proxy: await bed.listen({ address, port: upstream.port }) }
}

/** Lets time go on, and everything else beside it, until `holds`. */
async function passTime(clock: TestClock, holds: () => boolean): Promise<void> {
  while (!holds()) {
    await clock.advance(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Writes as much as is taken, up to `huge`; counts in `written`. */
async function pour(link: Link, count: (written: number) => void): Promise<void> {
  for (let written = 0; written < huge && !link.closed;) {
    await link.write(chunk)
    count((written += chunk.length))
  }
}

test('a client that does not read its response holds up its upstream, and is given up', async () => {
  const { bed: opened, clock } = openSlowBed({ responseMs: 20_000 })
  await using bed = opened
  let written = 0
  const { upstream, proxy } = await openWay(bed, (socket) => {
    const link = new Link(socket)
    const serve = async () => {
      await readRequest(link)
      await link.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${huge}\r\n\r\n`))
      await pour(link, (sum) => (written = sum))
    }
    serve().catch(() => socket.destroy())
  })
  await using _ = upstream
  using client = await openClient(bed, proxy)
  await client.link.write(request('GET /'))
  await client.link.fill()
  client.link.socket.pause()
  await passTime(clock, () => bed.plane.stats().connections === 0)
  assert.ok(written < underWay, `${written} bytes were taken from upstream`)
})

test('an upstream that does not read a body holds up its client, and is given up', async () => {
  const { bed: opened, clock } = openSlowBed({ bodyMs: 20_000, responseMs: 20_000 })
  await using bed = opened
  const { upstream, proxy } = await openWay(bed, (socket) => socket.pause())
  await using _ = upstream
  using client = await openClient(bed, proxy)
  let written = 0
  const lines = [`Content-Length: ${huge}`, 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']
  await client.link.write(request('PUT /key', lines))
  const poured = pour(client.link, (sum) => (written = sum))
  await passTime(clock, () => bed.plane.stats().connections === 0)
  client.link.destroy()
  await poured
  assert.ok(written < underWay, `${written} bytes were taken from the client`)
})

test('a head that comes a byte now and then is ended after its limit, however steadily', async () => {
  const { bed: opened, clock } = openSlowBed({ headMs: 10_000 })
  await using bed = opened
  const { upstream, proxy } = await openWay(bed, () => {})
  await using _ = upstream
  using client = await openClient(bed, proxy)
  const bytes = request('GET /', [`X-Long: ${'a'.repeat(1000)}`])
  let sent = 0
  await passTime(clock, () => {
    if (sent < bytes.length - 1) void client.link.write(bytes.subarray(sent, (sent += 1)))
    return bed.plane.stats().connections === 0
  })
  assert.equal(upstream.sockets.length, 0)
  assert.deepEqual(bed.audit.starts, [])
})

/** A record of 512 bytes: as much of it as is sent is a ClientHello that has not come to its end. */
const endlessHello = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(500, 7)])

/** Connects and sends the first bytes of a ClientHello; resolves once they have been looked at. */
async function startHello({ port, sockets }: Listener): Promise<Socket> {
  const before = sockets.length
  const socket = connectTo({ port, host: address, noDelay: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(endlessHello.subarray(0, 6))
  await until(() => (sockets[before]?.bytesRead ?? 0) > 0)
  await new Promise((resolve) => setImmediate(resolve))
  return socket
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

test('a ClientHello that comes a byte now and then is ended after the limit, and nobody is dialled for it', async () => {
  const { bed: opened, clock } = openSlowBed({ helloMs: 10_000 })
  await using bed = opened
  await using upstream = await listenPlain(() => {})
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  const socket = await startHello(proxy)
  const begun = clock.monotonic()
  let sent = 6
  await passTime(clock, () => {
    if (sent < endlessHello.length) socket.write(endlessHello.subarray(sent, (sent += 1)))
    return bed.plane.stats().connections === 0
  })
  assert.ok(clock.monotonic() - begun >= 10_000)
  assert.equal(upstream.sockets.length, 0)
  socket.destroy()
})

test('ClientHellos without an end are few for one identity, and keep no other from being served', async () => {
  const { bed: opened, clock } = openSlowBed({ helloMs: 10_000, maxPartialHellosPerIdentity: 3 })
  await using bed = opened
  const { upstream, proxy } = await openWay(
    bed,
    answering(() => response()),
  )
  await using _ = upstream
  bed.plane.apply(sharedScopeOf(upstream.port))
  const floods: Socket[] = []
  for (let count = 0; count < 10; count += 1) floods.push(await startHello(proxy))
  assert.equal(bed.plane.stats().overflowed, 7)
  // Whole ones are not counted, not even those of the flooder itself.
  for (const verdict of [identity, other]) {
    bed.identifier.verdict = { kind: 'identified', identity: verdict, executable: '/usr/bin/app' }
    using client = await openClient(bed, proxy)
    assert.equal((await client.send(request('GET /')))?.head.status, 200)
  }
  const later = await startHello(proxy)
  assert.equal(bed.plane.stats().overflowed, 7)
  await passTime(clock, () => bed.plane.stats().connections === 0)
  for (const socket of [...floods, later]) socket.destroy()
})

test('a body that stops half way is ended after its limit, and upstream never has it whole', async () => {
  for (const lines of [[], ['X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']]) {
    const { bed: opened, clock } = openSlowBed({ bodyMs: 10_000, responseMs: 10_000 })
    await using bed = opened
    const bodies: string[] = []
    const { upstream, proxy } = await openWay(bed, (socket) => {
      socket.on('data', (bytes: Buffer) => bodies.push(bytes.toString('latin1')))
    })
    await using _ = upstream
    using client = await openClient(bed, proxy)
    await client.link.write(request('PUT /key', ['Content-Length: 10', ...lines], 'half'))
    await passTime(clock, () => bed.plane.stats().connections === 0)
    assert.ok(bodies.join('') === '' || bodies.join('').endsWith('half'), bodies.join(''))
  }
})

test('a held body that comes slowly and steadily is waited for', async () => {
  const { bed: opened, clock } = openSlowBed({ bodyMs: 10_000 })
  await using bed = opened
  const { upstream, proxy } = await openWay(
    bed,
    answering(({ body }) => response(body.toString())),
  )
  await using _ = upstream
  using client = await openClient(bed, proxy)
  await client.link.write(request('PUT /key', ['Content-Length: 30']))
  const begun = clock.monotonic()
  const answered = readResponse(client.link)
  for (let sent = 0; sent < 30 && bed.plane.stats().connections > 0; sent += 1) {
    const { bytesRead } = proxy.sockets[0]!
    void client.link.write(Buffer.from('x'))
    await until(() => proxy.sockets[0]!.bytesRead > bytesRead)
    await passTime(clock, () => clock.monotonic() - begun >= sent * 1000)
  }
  assert.equal((await answered)?.body.toString(), 'x'.repeat(30))
})

test('an upstream that sends a byte of its head now and then is given up after the limit', async () => {
  const { bed: opened, clock } = openSlowBed({ responseMs: 10_000 })
  await using bed = opened
  const sockets: Socket[] = []
  const { upstream, proxy } = await openWay(bed, (socket) => {
    socket.once('data', () => sockets.push(socket))
  })
  await using _ = upstream
  using client = await openClient(bed, proxy)
  void client.link.write(request('GET /'))
  const head = response('late', 'HTTP/1.1 200 OK').padStart(2000)
  const answered = readResponse(client.link)
  let sent = 0
  await passTime(clock, () => {
    for (const socket of sockets) if (!socket.destroyed) socket.write(head.slice(sent, (sent += 1)) || ' ')
    return client.link.received > 0
  })
  assert.equal((await answered)?.head.status, 502)
})

test('an upstream that says nothing any more on a kept connection is asked once', async () => {
  const { bed: opened, clock } = openSlowBed({ responseMs: 10_000 })
  await using bed = opened
  const targets: string[] = []
  const { upstream, proxy } = await openWay(
    bed,
    answering(({ head }) => {
      targets.push(head.target)
      return targets.length === 1 ? response() : ''
    }),
  )
  await using _ = upstream
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /first')))?.head.status, 200)
  const before = client.link.received
  const answered = client.send(request('DELETE /second'))
  await passTime(clock, () => client.link.received > before)
  assert.equal((await answered)?.head.status, 502)
  assert.deepEqual(targets, ['/first', '/second'])
})

test('an upstream that accepts and then says nothing is given up, and the workload is told', async () => {
  await using bed = openBed({ limits: { dialMs: 200 } })
  await using silent = await listenPlain(() => {})
  bed.plane.apply(scopeOf(silent.port))
  using client = await openClient(bed, await bed.listen({ address, port: silent.port }))
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 502)
  assert.match(answer.body.toString(), /no TLS handshake within 200 ms/)
})

test('where upstream is not reached in time the workload is told, and what is reached later is closed', async () => {
  const { bed: opened, clock } = openSlowBed({})
  await using bed = opened
  const dialled = Promise.withResolvers<Socket>()
  await using upstream = await listenPlain((socket) => dialled.resolve(socket))
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
  const before = client.link.received
  const answered = client.send(request('GET /'))
  const socket = await dialled.promise
  await passTime(clock, () => client.link.received > before || client.link.closed)
  const answer = await answered
  assert.equal(answer?.head.status, 502)
  assert.match(answer.body.toString(), /was not reached in time/)
  const records = bed.audit.starts.map(({ decision, reason }) => `${decision} ${reason}`)
  assert.deepEqual(records, [`refused UPSTREAM_UNREACHABLE: ${host} was not reached in time`])
  const secureContext = createSecureContext(serverIdentity(host, { authority: bed.upstreamCa }))
  const late = new TLSSocket(socket, { isServer: true, secureContext })
  late.on('error', () => {})
  late.resume()
  await until(() => late.readableEnded || late.destroyed)
  assert.equal(bed.plane.stats().idleUpstreams, 0)
})

test('a ClientHello and a head that come a byte at a time are signed for once', async () => {
  await using bed = openBed()
  const heads: string[] = []
  const { upstream, proxy } = await openWay(bed, (socket) => {
    const link = new Link(socket)
    const serve = async () => {
      for (let next = await readRequest(link); next; next = await readRequest(link)) {
        heads.push(`${next.head.method} ${next.head.target}`)
        void link.write(Buffer.from(response()))
      }
    }
    serve().catch(() => socket.destroy())
  })
  await using _ = upstream
  await using relay = await listenPlain((socket) => {
    const through = connectTo({ port: proxy.port, host: address, noDelay: true })
    through.on('error', () => {})
    through.pipe(socket)
    const drip = async () => {
      for await (const bytes of socket) {
        for (const byte of bytes as Buffer) await new Promise((done) => through.write(Buffer.of(byte), done))
      }
      through.end()
    }
    drip().catch(() => through.destroy())
  })
  const socket = connect({ host: address, port: relay.port, servername: host, ca: bed.interceptCaPem })
  await once(socket, 'secureConnect')
  using client = new Client(socket)
  assert.equal((await client.send(request('GET /dripped')))?.head.status, 200)
  assert.deepEqual(heads, ['GET /dripped'])
})
