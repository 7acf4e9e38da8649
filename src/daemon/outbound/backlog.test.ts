import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openTestClock, systemClock, type TestClock } from '#base/clock'
import { Backlogs } from './backlog.ts'
import {
  host,
  listenPlain,
  listenTls,
  openBed,
  other,
  serverIdentity,
  sharedScopeOf,
  type Bed,
  type Listener,
} from './fixture.ts'
import { openHttp2Client } from './http2-talk.ts'
import { openClient, openPlainClient, readRequestHead, request, response, serve } from './talk.ts'
import { waitingIn } from './waiting.ts'

/** Whoever has bytes wait here that nobody takes: of one identity they stay within its bound. */

test('of many owners each keeps its share, the largest holders go first, and who keeps little is not touched', () => {
  const kib = 1024
  const sizes = fc.array(fc.array(fc.integer({ min: 0, max: 900 * kib }), { maxLength: 8 }), { maxLength: 8 })
  const bounds = fc.record({
    maxPerOwner: fc.integer({ min: 32 * kib, max: 4096 * kib }),
    maxTotal: fc.integer({ min: 64 * kib, max: 8192 * kib }),
  })
  fc.assert(
    fc.property(sizes, bounds, (owners, { maxPerOwner, maxTotal }) => {
      const backlogs = new Backlogs<number>()
      const kept = owners.map((holders) => new Set(holders.filter((bytes) => bytes > 16 * kib)))
      for (const [owner, held] of kept.entries()) {
        for (const backlog of held) backlogs.add(owner, { backlog, shed: () => held.delete(backlog) })
      }
      const sumOf = (held: ReadonlySet<number>) => [...held].reduce((sum, bytes) => sum + bytes, 0)
      const before = kept.map((held) => new Set(held))
      const told = backlogs.shed({ maxPerOwner, maxTotal })
      const sums = kept.map(sumOf)
      const total = sums.reduce((sum, bytes) => sum + bytes, 0)
      assert.ok(sums.every((sum) => sum <= maxPerOwner))
      assert.ok(total <= maxTotal)
      assert.equal(told.kept, total)
      for (const [owner, held] of kept.entries()) {
        const gone = [...before[owner]!].filter((bytes) => !held.has(bytes))
        assert.ok(gone.every((bytes) => [...held].every((stays) => stays <= bytes)))
        if (gone.length > 0)
          assert.ok(sumOf(before[owner]!) > Math.min(maxPerOwner, maxTotal / owners.length))
      }
    }),
  )
})

test('pieces of a byte weigh what they take, not what they say', () => {
  const stream = new Duplex({ read() {}, write() {} })
  for (let count = 0; count < 1000; count += 1) stream.push('x')
  const read = waitingIn(stream)
  assert.ok(read > 100_000, `${read}`)
  for (let count = 0; count < 1000; count += 1) stream.write('x')
  assert.ok(waitingIn(stream) > read + 100_000)
})

const address = '127.0.0.1'
const bound = 512 * 1024
const flooders = 12
/** Nothing but the bound ends anything. */
const patience = 1e9
const limits = {
  maxBacklogPerIdentity: bound,
  headMs: patience,
  handshakeMs: patience,
  clientIdleMs: patience,
  bodyMs: patience,
  responseMs: patience,
}

async function turn(clock: TestClock): Promise<void> {
  await clock.advance(1000)
  await new Promise((resolve) => setImmediate(resolve))
}

/** Until nothing has been ended for a while. */
async function settle(bed: Bed, clock: TestClock): Promise<void> {
  while (bed.plane.stats().overflowed === 0) await turn(clock)
  for (let quiet = 0, seen = 0; quiet < 50; quiet += 1) {
    await turn(clock)
    const { overflowed } = bed.plane.stats()
    if (overflowed !== seen) quiet = 0
    seen = overflowed
  }
}

const fields = (bytes: number) =>
  Array.from({ length: bytes / 1000 }, (_, at) => `X-${at}: ${'a'.repeat(990)}`)
const unsigned = 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD'
const huge = 16 * 1024 * 1024

/** Answers `/ok`, begins an endless response to `/big`, and reads nothing behind any other head. */
const upstreamOf = serve(async (link) => {
  for (;;) {
    const head = await readRequestHead(link)
    if (!head) return
    if (head.target === '/ok') {
      await link.write(Buffer.from(response()))
    } else if (head.target === '/big') {
      await link.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${huge}\r\n\r\n`))
      await link.write(Buffer.alloc(huge))
      return
    } else {
      link.socket.pause()
      return
    }
  }
})

type Attack = (bed: Bed, proxy: Listener) => Promise<Disposable>

/** On a connection of its own, and reading nothing. */
const sending =
  (...parts: (Buffer | string)[]): Attack =>
  async (bed, proxy) => {
    const client = await openClient(bed, proxy)
    client.link.socket.pause()
    for (const part of parts) void client.link.write(Buffer.from(part))
    return client
  }

const attacks: [name: string, attack: Attack][] = [
  ['heads without an end', sending(request('GET /', fields(62_000)).subarray(0, -2))],
  ['large heads behind which nobody answers', sending(request('GET /', fields(62_000)))],
  [
    'requests behind one that nobody answers',
    sending(request('GET /'), request('GET /').toString().repeat(5000)),
  ],
  [
    'bodies that upstream does not read',
    sending(request('PUT /', [`Content-Length: ${huge}`, unsigned]), Buffer.alloc(huge)),
  ],
  ['responses that are not read', sending(request('GET /big'))],
  [
    'heads on streams of HTTP/2',
    async (bed, proxy) => {
      const client = await openHttp2Client(bed, proxy)
      const long = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [`x-${at}`, 'a'.repeat(4000)]))
      for (let count = 0; count < 4; count += 1) client.start({ ':path': '/', ...long })
      return client
    },
  ],
  [
    'bodies on streams of HTTP/2',
    async (bed, proxy) => {
      const client = await openHttp2Client(bed, proxy)
      for (let count = 0; count < 2; count += 1) {
        const stream = client.start({
          ':method': 'PUT',
          ':path': '/',
          'content-length': huge,
          'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
        })
        stream.write(Buffer.alloc(huge))
      }
      return client
    },
  ],
  [
    'responses on streams of HTTP/2',
    async (bed, proxy) => {
      const client = await openHttp2Client(bed, proxy)
      for (let count = 0; count < 4; count += 1) client.start({ ':path': '/big' }).pause()
      return client
    },
  ],
]

for (const [name, attack] of attacks) {
  test(`${name} keep no more memory than their identity may, and no other identity out`, async () => {
    const clock = openTestClock(systemClock.now())
    await using bed = openBed({ clock, limits })
    await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), upstreamOf)
    bed.plane.apply(sharedScopeOf(upstream.port))
    const proxy = await bed.listen({ address, port: upstream.port })
    using flood = new DisposableStack()
    for (let count = 0; count < flooders; count += 1) flood.use(await attack(bed, proxy))
    await settle(bed, clock)
    const { backlog, overflowed } = bed.plane.stats()
    assert.ok(backlog > 0 && backlog <= bound, `${backlog} bytes wait`)

    bed.identifier.verdict = { kind: 'identified', identity: other, executable: '/usr/bin/other' }
    using neighbour = await openClient(bed, proxy)
    assert.equal((await neighbour.send(request('GET /ok')))?.head.status, 200)

    flood.dispose()
    // A client that has left may have ended its side only: its requests end with upstream.
    for (const socket of upstream.sockets) socket.destroy()
    while (bed.plane.stats().connections > 1) await turn(clock)
    await turn(clock)
    assert.equal(bed.plane.stats().backlog, 0)
    assert.equal(bed.plane.stats().overflowed, overflowed)
  })
}

test('who is answered nothing yet is told why, and the trail has it', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock, limits: { ...limits, maxBacklogPerIdentity: 100 * 1024 } })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), upstreamOf)
  bed.plane.apply(sharedScopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openClient(bed, proxy)
  const answered = client.send(request('GET /', fields(62_000)))
  while (bed.audit.starts.length === 0) await new Promise((resolve) => setImmediate(resolve))
  while (bed.plane.stats().overflowed === 0) await turn(clock)
  const answer = await answered
  assert.equal(answer?.head.status, 503)
  assert.equal(answer.head.headers.find(({ name }) => name === 'x-tideway-error')?.value, 'BUFFERS_EXHAUSTED')
  assert.match(answer.body.toString(), /more than 100 KiB waiting in the daemon/)
  const [end] = await bed.audit.untilEnds(1)
  assert.match(end?.reason ?? '', /waiting in the daemon/)
})

test('answers that nobody reads hold up the requests behind them', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), upstreamOf)
  bed.plane.apply(sharedScopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  using client = await openClient(bed, proxy)
  client.link.socket.pause()
  // Their answers are much more than all socket buffers on the way hold.
  const sent = 100_000
  void client.link.write(Buffer.from('GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n'.repeat(sent)))
  let answered = 0
  for (let quiet = 0; quiet < 1000 && answered < sent; quiet += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    const { refused } = bed.plane.stats()
    if (refused > answered) quiet = 0
    answered = refused
  }
  assert.ok(answered > 0 && answered < sent, `${answered} answers wait`)
})

test('what waits in spliced connections is bounded by user', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock, limits: { ...limits, maxBacklogPerIdentity: 300 * 1024 } })
  bed.identifier.verdict = { kind: 'stranger' }
  const ends: Socket[] = []
  await using upstream = await listenPlain((socket) => void ends.push(socket.pause()))
  const destination = { address, port: upstream.port }
  const flooded = await bed.listen(destination)
  const pin = { pid: 2, startTicks: 1n, exeDevice: 1, exeInode: 2n, uid: 2000, gid: 1, cgroupId: 0n }
  const neighbour = await bed.listen(destination, { process: pin })
  using stack = new DisposableStack()
  const [quiet] = [stack.use(await openPlainClient(neighbour))]
  void quiet.link.write(Buffer.alloc(huge))
  for (let count = 0; count < flooders; count += 1) {
    const client = stack.use(await openPlainClient(flooded))
    void client.link.write(Buffer.alloc(huge))
  }
  await settle(bed, clock)
  assert.equal(quiet.link.closed, false)
  assert.ok(bed.plane.stats().connections < 1 + flooders)
})
