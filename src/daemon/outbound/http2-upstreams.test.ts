import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'
import { test } from 'node:test'
import { openTestClock, systemClock } from '#base/clock'
import { emptyScope } from '#model/scope'
import {
  credential,
  host,
  identity,
  listenTls,
  openBed,
  other,
  scopeOf,
  serverIdentity,
  sharedScopeOf,
  type Bed,
} from './fixture.ts'
import { block, endHeaders, endStream, frame, type } from './http2-frames.ts'
import { listenHttp2, openHttp2Client, readAnswer } from './http2-talk.ts'
import { openClient, request } from './talk.ts'

/** How connections to upstreams that speak HTTP/2 are shared, kept and left. */

async function openPath(bed: Bed, upstream: { port: number }) {
  bed.plane.apply(scopeOf(upstream.port))
  return bed.listen({ address: '127.0.0.1', port: upstream.port })
}

/** A service of whose bodies nothing is signed: they stream whatever their length. */
const streaming = { signing: { service: 'vpc-lattice-svcs', region: 'us-east-1' } }

const get = { ':method': 'GET', ':path': '/' }
const post = { ':method': 'POST', ':path': '/' }

/** Whether in order or not. */
const untilClosed = (item: EventEmitter) =>
  new Promise<void>((resolve) => {
    item.once('close', resolve)
  })

test('all requests of an identity to a host share one connection, whatever their clients speak', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  const proxy = await openPath(bed, upstream)
  using one = await openHttp2Client(bed, proxy)
  using other = await openHttp2Client(bed, proxy)
  const answers = await Promise.all(Array.from({ length: 40 }, (_, at) => (at % 2 ? one : other).send(get)))
  assert(answers.every(({ body }) => body === 'ok'))
  using http1 = await openClient(bed, proxy)
  for (let round = 0; round < 3; round += 1) {
    assert.equal((await http1.send(request('GET /')))?.body.toString(), 'ok')
  }
  // That it refused HTTP/1.1 was found out once.
  assert.equal(upstream.sessions.length, 2)
  assert.equal(bed.audit.starts.length, 43)
})

test('two identities on one host never share a connection', async () => {
  await using bed = openBed()
  const keys = new Map<unknown, Set<string>>()
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    const [, key = ''] = /Credential=(\w+)/.exec(headers.authorization ?? '') ?? []
    const seen = keys.get(stream.session) ?? new Set()
    keys.set(stream.session, seen.add(key))
    stream.respond({ ':status': 200 })
    stream.end()
  })
  bed.plane.apply(sharedScopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using one = await openHttp2Client(bed, proxy)
  await one.send(get)
  bed.identifier.verdict = { kind: 'identified', identity: other, executable: '/usr/bin/other' }
  using two = await openHttp2Client(bed, proxy)
  await Promise.all([one.send(get), two.send(get), one.send(get), two.send(get)])
  assert.deepEqual(
    [...keys.values()].map((seen) => [...seen]),
    [['ASIAFIRST'], ['ASIAOTHER']],
  )
})

test('no more requests at a time than upstream allows go over one connection', async () => {
  await using bed = openBed()
  const waiting: (() => void)[] = []
  await using upstream = await listenHttp2(
    bed,
    (stream) => {
      waiting.push(() => {
        stream.respond({ ':status': 200 })
        stream.end()
      })
      if (waiting.length === 5) for (const answer of waiting) answer()
    },
    { settings: { maxConcurrentStreams: 2 } },
  )
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const answers = await Promise.all(Array.from({ length: 5 }, () => client.send(get)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  )
  assert.equal(upstream.sessions.length, 3)
})

test('a connection whose upstream says goodbye serves what is under way, and nothing new', async () => {
  await using bed = openBed()
  const slow = Promise.withResolvers<() => void>()
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/slow') slow.resolve(() => stream.end('slow'))
    else stream.end('quick')
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const first = client.send({ ':method': 'GET', ':path': '/slow' })
  const finish = await slow.promise
  const [session] = upstream.sessions
  session!.close()
  while (upstream.sessions.length === 1) assert.equal((await client.send(get)).body, 'quick')
  finish()
  assert.equal((await first).body, 'slow')
})

test('a connection on which a request is not answered in time takes no other', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock, limits: { responseMs: 10_000 } })
  const held = Promise.withResolvers<() => void>()
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    if (headers[':path'] === '/lost') return
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/slow') held.resolve(() => stream.end('slow'))
    else stream.end('quick')
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const slow = client.send({ ':method': 'GET', ':path': '/slow' })
  const finish = await held.promise
  const lost = client.send({ ':method': 'GET', ':path': '/lost' })
  while (bed.audit.starts.length < 2) await new Promise((resolve) => setImmediate(resolve))
  while (bed.audit.ends.length === 0) {
    await clock.advance(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal((await lost).status, 502)
  assert.equal((await client.send(get)).body, 'quick')
  assert.equal(upstream.sessions.length, 2)
  finish()
  assert.equal((await slow).body, 'slow', 'what is under way goes on')
})

test('a request that upstream did not look at is repeated once, whatever its method', async () => {
  await using bed = openBed()
  let arrived = 0
  await using upstream = await listenHttp2(bed, (stream) => {
    arrived += 1
    if (arrived === 2) return stream.close(7)
    stream.respond({ ':status': 200 })
    return stream.end(String(arrived))
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  assert.equal((await client.send(get)).body, '1')
  assert.equal((await client.send(post, 'body')).body, '3')
  assert.equal(bed.audit.starts.length, arrived, 'one record for each time that it was sent')
})

test('an upstream that wants HTTP/1.1 gets it, at once where the method may be repeated', async () => {
  await using bed = openBed()
  const HTTP_1_1_REQUIRED = 13
  let sent = 0
  const onHttp1 = (response: { end(text: string): void }) => response.end('over HTTP/1.1')
  await using upstream = await listenHttp2(
    bed,
    (stream) => {
      sent += 1
      stream.close(HTTP_1_1_REQUIRED)
    },
    { onHttp1 },
  )
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  assert.equal((await client.send(post, 'body')).status, 502)
  assert.equal((await client.send(post, 'body')).body, 'over HTTP/1.1')
  assert.equal(sent, 1)

  await using other = await listenHttp2(bed, (stream) => stream.close(HTTP_1_1_REQUIRED), { onHttp1 })
  const otherProxy = await openPath(bed, other)
  using reader = await openHttp2Client(bed, otherProxy)
  assert.equal((await reader.send(get)).body, 'over HTTP/1.1')
  const paths = (await bed.audit.untilEnds(4)).map(({ status }) => status)
  assert.deepEqual(paths, [0, 200, 0, 200], 'one record for each time that it was sent')
})

test('an upstream that says so whatever it is spoken to is asked twice and no more', async () => {
  await using bed = openBed()
  let sent = 0
  await using upstream = await listenHttp2(bed, (stream) => {
    sent += 1
    stream.close(13)
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  assert.equal((await client.send(get)).status, 502)
  assert.equal(sent, 2)
})

test('a request that upstream may have looked at is not repeated', async () => {
  await using bed = openBed()
  let arrived = 0
  await using upstream = await listenHttp2(bed, (stream) => {
    arrived += 1
    if (arrived === 2) return stream.destroy(new Error('lost'))
    stream.respond({ ':status': 200 })
    return stream.end()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  await client.send(get)
  assert.equal((await client.send(post, 'body')).status, 502)
  assert.equal(arrived, 2)
})

test('who does not read holds up nobody else on the same connections, and makes us hold little', async () => {
  await using bed = openBed()
  let sent = 0
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    stream.respond({ ':status': 200 })
    if (headers[':path'] !== '/endless') return stream.end('quick')
    const chunk = Buffer.alloc(64 * 1024)
    const more = () => {
      if (stream.destroyed) return
      sent += chunk.length
      stream.write(chunk, more)
    }
    return more()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const slow = client.start({ ':method': 'GET', ':path': '/endless' })
  await once(slow, 'response')
  slow.pause()
  // Until nothing moves any more: each round trip is one chance for it to.
  for (let before = -1; before !== sent;) {
    before = sent
    for (let round = 0; round < 20; round += 1) assert.equal((await client.send(get)).body, 'quick')
  }
  assert(sent < 2_000_000, `${sent} bytes were taken for a client that does not read`)
  assert.equal(upstream.sessions.length, 1)
})

test('an upload that upstream does not read is held back at its client', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    if (headers[':path'] === '/stuck') return stream.pause()
    stream.respond({ ':status': 200 })
    return stream.end('quick')
  })
  bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openHttp2Client(bed, proxy)
  const stuck = client.start({ ':method': 'PUT', ':path': '/stuck' })
  let sent = 0
  const chunk = Buffer.alloc(64 * 1024)
  const more = () => {
    if (stuck.destroyed) return
    sent += chunk.length
    stuck.write(chunk, more)
  }
  more()
  for (let before = -1; before !== sent;) {
    before = sent
    for (let round = 0; round < 20; round += 1) assert.equal((await client.send(get)).body, 'quick')
  }
  assert(sent < 2_000_000, `${sent} bytes were taken for an upstream that does not read`)
})

test('a revocation cuts open requests and their connections, toward the workload and upstream', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('half')
  })
  const proxy = await openPath(bed, upstream)
  using busy = await openHttp2Client(bed, proxy)
  using idle = await openHttp2Client(bed, proxy)
  const streams = ['/a', '/b'].map((path) => busy.start({ ':method': 'GET', ':path': path }))
  await Promise.all(streams.map((stream) => once(stream, 'data')))
  const closed = [...streams, busy.session, idle.session].map(untilClosed)
  const left = upstream.sessions.map(untilClosed)
  assert.deepEqual(bed.plane.apply(emptyScope), { cut: 2 })
  await Promise.all([...closed, ...left])
  const cuts = bed.audit.starts.filter(({ decision }) => decision === 'cut')
  assert.deepEqual(cuts.map(({ path }) => path).toSorted(), ['-', '/a', '/b'])
  const ends = await bed.audit.untilEnds(2)
  assert(ends.every(({ reason }) => reason === cuts[0]!.reason))
  assert.equal(bed.plane.stats().idleUpstreams, 0)
})

test('rotations while requests flow over HTTP/2 fail none of them', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream, headers) => {
    const [, key = ''] = /Credential=(\w+)/.exec(headers.authorization ?? '') ?? []
    stream.respond({ ':status': 200 })
    stream.end(key)
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  for (let round = 0; round < 20; round += 1) {
    const under = Array.from({ length: 5 }, () => client.send(get))
    const key = `ASIAROUND${round}`
    bed.plane.apply(scopeOf(upstream.port, { credentials: [credential(key)] }))
    for (const { status } of await Promise.all(under)) assert.equal(status, 200)
    assert.equal((await client.send(get)).body, key)
  }
  assert.equal(upstream.sessions.length, 1)
})

test('a connection that nobody uses is closed on both sides after its time', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock })
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  await client.send(get)
  while (bed.plane.stats().idleUpstreams === 0) await new Promise((resolve) => setImmediate(resolve))
  const [session] = upstream.sessions
  const left = once(session!, 'close')
  await clock.advance(17_000)
  await left
  assert.equal(bed.plane.stats().idleUpstreams, 0)
  const closed = once(client.session, 'close')
  await clock.advance(300_000)
  await closed
})

test('a process that became another is refused on its open connection, request by request', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  assert.equal((await client.send(get)).status, 200)
  bed.identifier.holds = false
  bed.identifier.verdict = { kind: 'stranger' }
  const answer = await client.send(get)
  assert.equal(answer.status, 403)
  assert.equal(answer.headers['x-tideway-error'], 'ATTESTATION_FAILED')
})

test('what a connection ran as a request later is recorded under its new executable', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  await client.send(get)
  bed.identifier.holds = false
  bed.identifier.verdict = { kind: 'identified', identity, executable: '/usr/bin/other' }
  await client.send(get)
  await client.send(get)
  assert.deepEqual(
    bed.audit.starts.map(({ executable }) => executable),
    ['/usr/bin/app', '/usr/bin/other', '/usr/bin/other'],
  )
})

test('a connection of HTTP/2 that its peer half-closes is over, on both sides', async () => {
  await using bed = openBed()
  await using upstream = await listenHttp2(bed, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  await client.send(get)
  upstream.sockets[0]!.end()
  while (bed.plane.stats().idleUpstreams > 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal((await client.send(get)).status, 200)
  assert.equal(upstream.sessions.length, 2)
  client.socket.end()
  while (bed.plane.stats().connections > 0) await new Promise((resolve) => setImmediate(resolve))
})

for (const [name, isWhole] of [
  ['the whole of an early answer counts, though its upstream wants no more of the request', true],
  ['a part of an early answer that is reset does not count as the whole', false],
] as const) {
  test(name, async () => {
    await using bed = openBed()
    await using upstream = await listenTls(
      { ...serverIdentity(host, { authority: bed.upstreamCa }), ALPNProtocols: ['h2'] },
      (socket) => {
        socket.write(frame(type.settings, 0, 0))
        socket.on('data', (chunk: Buffer) => {
          if (!chunk.includes('the beginning')) return
          const head = frame(type.headers, endHeaders, 1, block([[':status', '403']]))
          const body = frame(type.data, isWhole ? endStream : 0, 1, Buffer.from('early'))
          socket.write(Buffer.concat([head, body, frame(type.rstStream, 0, 1, Buffer.alloc(4))]))
        })
      },
    )
    bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using client = await openHttp2Client(bed, proxy)
    const stream = client.start({ ':method': 'PUT', ':path': '/' })
    stream.write('the beginning')
    const answer = readAnswer(stream)
    if (isWhole) assert.equal((await answer).body, 'early')
    else await assert.rejects(answer)
  })
}
