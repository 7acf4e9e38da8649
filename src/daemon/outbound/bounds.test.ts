import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { holdBody } from './body.ts'
import { Counts } from './bounds.ts'
import {
  host,
  listenPlain,
  listenTls,
  openBed,
  originOf,
  other,
  scopeOf,
  serverIdentity,
  sharedScopeOf,
} from './fixture.ts'
import { Link } from './link.ts'
import { answering, openClient, openPlainClient, request, response, type Client } from './talk.ts'

test('counts stop at their bounds and forget what left', () => {
  const counts = new Counts<string>({ maxPerKey: 2, maxTotal: 3 })
  assert(counts.enter('a') && counts.enter('a') && !counts.enter('a'))
  assert(counts.enter('b') && !counts.enter('b'))
  counts.leave('a')
  assert(counts.enter('b'))
})

test('a budget gives only what is left, for one and for all', () => {
  const counts = new Counts<string>({ maxPerKey: 10, maxTotal: 12 })
  const [one, other] = [counts.budgetOf('one'), counts.budgetOf('other')]
  assert(one.take(6) && !one.take(5) && one.take(4))
  assert(!other.take(3) && other.take(2))
  one.give(4)
  assert(one.take(4))
})

test('a body that is refused for its size leaves nothing taken of what all may hold', async () => {
  for (const limit of [4, 100]) {
    const counts = new Counts<string>({ maxPerKey: 10 })
    const socket = new PassThrough()
    const chunks = ['5', '3', '2', '1'].map((size) => `${size}\r\n${'x'.repeat(Number(size))}\r\n`)
    const sizes = [...chunks, ...chunks, '0\r\n\r\n']
    const client = new Link(Object.assign(socket, { destroySoon() {} }))
    socket.write(sizes.join(''))
    const held = await holdBody(
      client,
      { kind: 'chunked' },
      { limit, budget: counts.budgetOf('one'), onProgress() {} },
    )
    assert.equal(held.kind, limit === 4 ? 'too-large' : 'exhausted')
    assert.equal(counts.total, 0)
  }
})

test('a flood resets the flooder, not its neighbours', async () => {
  await using bed = openBed({ limits: { maxConnectionsPerUid: 3 } })
  await using upstream = await listenPlain(answering(() => response()))
  const destination = { address: '127.0.0.1', port: upstream.port }
  const flooded = await bed.listen(destination)
  const pin = { pid: 2, startTicks: 1n, exeDevice: 1, exeInode: 2n, uid: 2000, gid: 1, cgroupId: 0n }
  const neighbour = await bed.listen(destination, { process: pin })
  const clients: Client[] = []
  for (let count = 0; count < 3; count += 1) {
    const client = await openPlainClient(flooded)
    clients.push(client)
    assert.equal((await client.send(request('GET /')))?.head.status, 200)
  }
  for (let count = 0; count < 3; count += 1) {
    // The reset may come before or after the client's side counts as connected.
    const client = await openPlainClient(flooded).catch(() => undefined)
    await client?.ended()
  }
  using other = await openPlainClient(neighbour)
  assert.equal((await other.send(request('GET /')))?.head.status, 200)
  assert.equal(bed.plane.stats().overflowed, 3)
  clients[0]!.link.destroy()
  while (bed.plane.stats().connections > 3) await new Promise((resolve) => setImmediate(resolve))
  using again = await openPlainClient(flooded)
  assert.equal((await again.send(request('GET /')))?.head.status, 200)
  for (const client of clients) client[Symbol.dispose]()
})

test('who floods with connections or with bodies that have to be held keeps no other identity out', async () => {
  await using bed = openBed({ limits: { maxConnectionsPerIdentity: 4, maxBufferedPerIdentity: 10 } })
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ body }) => response(body.toString())),
  )
  const signing = { service: 'bedrock', region: 'us-east-1' }
  bed.plane.apply(sharedScopeOf(upstream.port, { service: { signing } }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const post = (body: string) => request('POST /', ['Content-Length: 8'], body)
  using stack = new DisposableStack()
  for (let count = 0; count < 2; count += 1) {
    const flooder = stack.use(await openClient(bed, proxy))
    await flooder.link.write(post('12345'))
  }
  using refused = await openClient(bed, proxy)
  let status: number | undefined
  // What the others have sent is read within a few turns.
  for (let turn = 0; turn < 1000 && status !== 503; turn += 1) {
    status = (await refused.send(post('12345678')))?.head.status
  }
  assert.equal(status, 503)
  const more = await Promise.allSettled(Array.from({ length: 4 }, () => openClient(bed, proxy)))
  for (const opened of more) if (opened.status === 'fulfilled') stack.use(opened.value)
  assert(more.some(({ status }) => status === 'rejected'))

  bed.identifier.verdict = { kind: 'identified', identity: other, executable: '/usr/bin/other' }
  using neighbour = await openClient(bed, proxy)
  assert.equal((await neighbour.send(post('12345678')))?.body.toString(), '12345678')
})

test('who leaves while upstream is dialled counts until that has ended', async () => {
  const found = Promise.withResolvers<string[]>()
  await using bed = openBed({ limits: { maxConnectionsPerUid: 2 }, resolve: () => found.promise })
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(() => response()),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ host, port: upstream.port })
  const settle = async (requests: number) => {
    while (bed.plane.stats().requests < requests) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const count of [1, 2]) {
    const client = await openClient(bed, proxy)
    await client.link.write(request('GET /'))
    await settle(count)
    const socket = proxy.sockets.at(-1)!
    socket.destroy()
    await once(socket, 'close')
  }
  await assert.rejects(openClient(bed, proxy), { code: 'ECONNRESET' })
  found.resolve(['127.0.0.1'])
  while (bed.plane.stats().connections > 0) await new Promise((resolve) => setImmediate(resolve))
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
})

test('a connection that has closed before it is taken over counts for nothing', async () => {
  await using bed = openBed({ limits: { maxConnections: 1 } })
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(() => response()),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const destination = { address: '127.0.0.1', port: upstream.port }
  const gone = new Socket()
  gone.destroy()
  await once(gone, 'close')
  bed.plane.accept(gone, originOf(destination))
  assert.equal(bed.plane.stats().connections, 0)
  using client = await openClient(bed, await bed.listen(destination))
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
})

test('the connections of one identity and of all are bounded as well', async () => {
  for (const limits of [{ maxConnectionsPerIdentity: 1 }, { maxConnections: 1 }]) {
    await using bed = openBed({ limits })
    await using upstream = await listenTls(
      serverIdentity(host, { authority: bed.upstreamCa }),
      answering(() => response()),
    )
    bed.plane.apply(scopeOf(upstream.port))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using first = await openClient(bed, proxy)
    await assert.rejects(openClient(bed, proxy), { code: 'ECONNRESET' })
    first.link.destroy()
    while (bed.plane.stats().connections > 0) await new Promise((resolve) => setImmediate(resolve))
    using second = await openClient(bed, proxy)
    assert.equal((await second.send(request('GET /')))?.head.status, 200)
  }
})
