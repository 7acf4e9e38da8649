import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '#base/errors'
import { openTestClock, systemClock } from '#base/clock'
import { emptyScope } from '#model/scope'
import {
  binding,
  credential,
  fixedIdentifier,
  host,
  identity,
  listenTls,
  openAuthority,
  openBed,
  other,
  scopeOf,
  serverIdentity,
  sharedScopeOf,
  type Bed,
  type ScopeParts,
} from './fixture.ts'
import { answering, openClient, readRequestHead, readResponse, request, response } from './talk.ts'
import { Link } from './link.ts'

/** An upstream that says which access key signed each request. */
function openUpstream(bed: Bed) {
  return listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      const { value = '' } = head.headers.find(({ name }) => name === 'authorization') ?? {}
      return response(/Credential=(\w+)/.exec(value)?.[1] ?? 'unsigned')
    }),
  )
}

/** An upstream that answers with the beginning of a response and never goes on. */
function openStalling(bed: Bed) {
  return listenTls(serverIdentity(host, { authority: bed.upstreamCa }), (socket) => {
    const link = new Link(socket)
    void readRequestHead(link).then(() =>
      link.write(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
    )
  })
}

const revocations: [name: string, parts: ScopeParts | 'nothing'][] = [
  ['everything is gone', 'nothing'],
  ['the binding is gone', { bindings: [] }],
  ['the identity is gone', { identities: [] }],
  ['the identity is no longer intercepted', { identities: [{ ...identity, intercept: false }] }],
  ['the source was changed', { binding: { sourceName: 'other' } }],
  ['another binding names the host too', { bindings: [binding(), binding({ name: 'second' })] }],
  ['the service points elsewhere', { service: { addresses: [{ host: 'other.example' }] } }],
  [
    'the service has a CA of its own',
    { service: { caBundlePem: openAuthority('own').certificate.toString() } },
  ],
  ['the credential was withdrawn', { credentials: [] }],
]

for (const [name, parts] of revocations) {
  test(`a connection under way and an idle one are cut at once when ${name}`, async () => {
    await using bed = openBed()
    await using upstream = await openStalling(bed)
    bed.plane.apply(scopeOf(upstream.port))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using busy = await openClient(bed, proxy)
    using idle = await openClient(bed, proxy)
    void busy.link.write(request('GET /slow'))
    while (!busy.link.held.includes('half')) await busy.link.fill()
    const { cut } = bed.plane.apply(parts === 'nothing' ? emptyScope : scopeOf(upstream.port, parts))
    assert.equal(cut, 2)
    await Promise.all([busy.ended(), idle.ended()])
    const [end] = await bed.audit.untilEnds(1)
    assert.equal(end!.status, 200)
    const cuts = bed.audit.starts.filter(({ decision }) => decision === 'cut')
    assert.deepEqual(cuts.map(({ path }) => path).toSorted(), ['-', '/slow'])
    assert.equal(end!.reason, cuts[0]!.reason)
  })
}

test('what does not concern a connection leaves it alone', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  await client.send(request('GET /'))
  const more = scopeOf(upstream.port, { identities: [identity, other] })
  assert.deepEqual(bed.plane.apply(more), { cut: 0 })
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  assert.equal(upstream.sockets.length, 1)
})

test('idle upstream connections go with the binding under which they were used', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  await client.send(request('GET /'))
  assert.equal(bed.plane.stats().idleUpstreams, 1)
  bed.plane.apply(emptyScope)
  assert.equal(bed.plane.stats().idleUpstreams, 0)
})

test('rotations while requests flow fail none of them, and each goes out under one key', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const seen = new Set<string>()
  const enough = new AbortController()
  const flow = async () => {
    using client = await openClient(bed, proxy)
    while (!enough.signal.aborted) {
      const answer = await client.send(request('GET /'))
      assert.equal(answer?.head.status, 200)
      seen.add(answer.body.toString())
    }
  }
  const flows = Array.from({ length: 8 }, flow)
  for (let round = 0; round < 20; round += 1) {
    const key = `ASIAROUND${round}`
    assert.deepEqual(bed.plane.apply(scopeOf(upstream.port, { credentials: [credential(key)] })), { cut: 0 })
    while (!seen.has(key)) await new Promise((resolve) => setImmediate(resolve))
  }
  enough.abort()
  await Promise.all(flows)
  assert.equal(bed.plane.stats().cut, 0)
})

test('a process that became another is refused on its open connection', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /')))?.body.toString(), 'ASIAFIRST')
  bed.identifier.holds = false
  bed.identifier.verdict = { kind: 'stranger' }
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 403)
  await client.ended()
  assert.equal(bed.audit.starts.at(-1)?.decision, 'refused')
})

test('a process that is still the same after a new look goes on', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  await client.send(request('GET /'))
  bed.identifier.holds = false
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  assert.equal(bed.identifier.identified, 2)
})

test('a process that cannot be looked at again is refused, and the answer tells whose fault it is', async () => {
  const statuses: (readonly [Error, number])[] = [
    [new Error('attestor gone'), 403],
    [new Fault('DAEMON_UNREACHABLE', 'the main process of the daemon is silent'), 503],
  ]
  for (const [error, status] of statuses) {
    const identifier = fixedIdentifier()
    await using bed = openBed({ identifier })
    await using upstream = await openUpstream(bed)
    bed.plane.apply(scopeOf(upstream.port))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using client = await openClient(bed, proxy)
    identifier.holds = false
    identifier.identify = () => Promise.reject(error)
    assert.equal((await client.send(request('GET /')))?.head.status, status)
  }
})

test('two identities never share an upstream connection', async () => {
  const identifier = fixedIdentifier()
  await using bed = openBed({ identifier })
  await using upstream = await openUpstream(bed)
  bed.plane.apply(sharedScopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  for (const [who, key] of [
    [identity, 'ASIAFIRST'],
    [other, 'ASIAOTHER'],
    [identity, 'ASIAFIRST'],
  ] as const) {
    identifier.verdict = { kind: 'identified', identity: who, executable: '/usr/bin/app' }
    using client = await openClient(bed, proxy)
    assert.equal((await client.send(request('GET /')))?.body.toString(), key)
  }
  assert.equal(upstream.sockets.length, 2)
})

test('the end of the lease refuses new requests at once and cuts what is open', async () => {
  const clock = openTestClock(systemClock.now())
  let leased = true
  await using bed = openBed({ clock, lease: () => leased })
  await using upstream = await openUpstream(bed)
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  await client.send(request('GET /'))
  leased = false
  const refused = await client.send(request('GET /'))
  assert.equal(refused?.head.status, 503)
  assert.match(refused.body.toString(), /offline lease/)
  await clock.advance(1000)
  await client.ended()
  assert.equal(bed.plane.stats().idleUpstreams, 0)
})

test('an expired credential is not used', async () => {
  await using bed = openBed()
  await using upstream = await openUpstream(bed)
  const { credential: aws, ...rest } = credential()
  const expired = { ...rest, credential: { ...aws, expiresAt: systemClock.now() - 1 } }
  bed.plane.apply(scopeOf(upstream.port, { credentials: [expired] }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  const refused = await client.send(request('GET /'))
  assert.equal(refused?.head.status, 503)
  assert.match(refused.body.toString(), /has expired/)
})

test('deadlines end a silent client, an unfinished head and an upstream that does not answer', async () => {
  const clock = openTestClock(systemClock.now())
  await using bed = openBed({ clock, limits: { clientIdleMs: 10_000, headMs: 5000, responseMs: 20_000 } })
  const asked = Promise.withResolvers<void>()
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), (socket) => {
    socket.on('data', () => asked.resolve())
  })
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using idle = await openClient(bed, proxy)
  using dripping = await openClient(bed, proxy)
  using waiting = await openClient(bed, proxy)
  void waiting.link.write(request('GET /'))
  await asked.promise
  void dripping.link.write(Buffer.from('GET / HTTP/1.1\r\nHo'))
  while (bed.plane.stats().connections > 2) {
    await clock.advance(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await dripping.ended()
  await clock.advance(10_000)
  await idle.ended()
  assert.equal(bed.plane.stats().connections, 1)
  await clock.advance(20_000)
  const answer = await readResponse(waiting.link)
  assert.equal(answer?.head.status, 502)
  assert.match(answer.body.toString(), /no answer in time/)
})
