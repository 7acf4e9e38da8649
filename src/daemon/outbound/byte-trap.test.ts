import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import {
  host,
  listenTls,
  openAuthority,
  openBed,
  scopeOf,
  secretText,
  serverIdentity,
  tokenText,
  type Bed,
} from './fixture.ts'
import { answering, openClient, request, response } from './talk.ts'

/** An identified workload that aims at a listener of its own: no byte of a credential may decrypt there. */

interface Trap extends AsyncDisposable {
  readonly port: number
  /** Everything that was ever decrypted. */
  text(): string
}

async function openTrap(identity: { key: string; cert: string }): Promise<Trap> {
  const caught: Buffer[] = []
  const listener = await listenTls(identity, (socket) => {
    socket.on('data', (chunk: Buffer) => caught.push(chunk))
    answering(() => response('caught'))(socket)
  })
  return {
    port: listener.port,
    text: () => Buffer.concat(caught).toString('latin1'),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}

function assertNothingIn(text: string): void {
  for (const secret of [tokenText, secretText, 'AWS4-HMAC-SHA256', 'ASIAFIRST']) {
    assert(!text.includes(secret), `found ${secret}`)
  }
}

async function intoTrap(bed: Bed, trap: Trap, bytes: Buffer) {
  bed.plane.apply(scopeOf(trap.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: trap.port })
  using client = await openClient(bed, proxy)
  return await client.send(bytes)
}

const foreign = openAuthority('foreign')
const traps: [name: string, identity: (bed: Bed) => { key: string; cert: string }, told: RegExp][] = [
  ['a self-signed certificate', () => serverIdentity(host), /self-signed: set spec.caBundle/],
  [
    'a certificate of an unknown authority',
    () => serverIdentity(host, { authority: foreign }),
    /issuer is not known: set spec.caBundle/,
  ],
  [
    'a good certificate for another name',
    (bed) => serverIdentity('evil.example', { authority: bed.upstreamCa }),
    /the name does not match: .* It is for DNS:evil\.example/,
  ],
  [
    'a good certificate for the address',
    (bed) => serverIdentity('127.0.0.1', { authority: bed.upstreamCa }),
    /the name does not match/,
  ],
  [
    'an expired certificate',
    (bed) => serverIdentity(host, { authority: bed.upstreamCa, expired: true }),
    /has expired: .* the clock of this node/,
  ],
]

for (const [name, identity, told] of traps) {
  test(`an upstream with ${name} decrypts nothing, and the workload is told`, async () => {
    await using bed = openBed()
    await using trap = await openTrap(identity(bed))
    const answer = await intoTrap(bed, trap, request('GET /'))
    assert.equal(answer?.head.status, 502)
    assert.match(
      answer.body.toString(),
      /^tideway: the certificate shown for s3\.us-east-1\.amazonaws\.com was refused/,
    )
    assert.match(answer.body.toString(), told)
    assert(answer.head.headers.some((header) => header.value === 'UPSTREAM_UNVERIFIED'))
    assert.equal(trap.text(), '')
    assert.deepEqual(
      bed.audit.starts.map(({ decision }) => decision),
      ['refused'],
    )
  })
}

test('the right certificate of the system roots is refused where the Service names a CA of its own', async () => {
  await using bed = openBed()
  await using trap = await openTrap(serverIdentity(host, { authority: bed.upstreamCa }))
  const own = openAuthority('own')
  bed.plane.apply(scopeOf(trap.port, { service: { caBundlePem: own.certificate.toString() } }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: trap.port })
  using client = await openClient(bed, proxy)
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 502)
  assert.equal(trap.text(), '')
})

test('a TLS session is never offered upstream, so a resumed one cannot stand in for a certificate', async () => {
  await using bed = openBed()
  const good = serverIdentity(host, { authority: bed.upstreamCa })
  const bad = serverIdentity(host)
  const ticketKeys = Buffer.alloc(48, 7)
  const caught: string[] = []
  let reused = 0
  // Two servers behind one address that share ticket keys: the first has the certificate, the second has not.
  const servers = [good, bad].map((identity) =>
    createServer({ ...identity, ticketKeys }, (socket: TLSSocket) => {
      socket.on('error', () => {})
      if (socket.isSessionReused()) reused += 1
      socket.on('data', (chunk) => caught.push(chunk.toString('latin1')))
      answering(() => response('ok', 'HTTP/1.1 200 OK\r\nConnection: close'))(socket)
    }),
  )
  const [first, second] = servers as [(typeof servers)[0], (typeof servers)[0]]
  for (const server of servers) server.on('tlsClientError', () => {})
  first.listen(0, '127.0.0.1')
  await once(first, 'listening')
  const { port } = first.address() as AddressInfo
  bed.plane.apply(scopeOf(port))
  const proxy = await bed.listen({ address: '127.0.0.1', port })
  using client = await openClient(bed, proxy)
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  first.close()
  await once(first, 'close')
  caught.length = 0
  second.listen(port, '127.0.0.1')
  await once(second, 'listening')
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 502)
  assert.deepEqual(caught, [])
  assert.equal(reused, 0)
  second.close()
})

const misdirections: [name: string, bytes: Buffer, status: number][] = [
  ['a forged Host', Buffer.from('GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n'), 421],
  ['a Host with another port', Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}:1\r\n\r\n`), 421],
  ['a repeated Host', Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\n\r\n`), 400],
  ['an absolute URI for another host', request('GET https://evil.example/'), 400],
  [
    'an absolute URI and a Host that agree on another host',
    Buffer.from('GET https://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    421,
  ],
  ['CONNECT', Buffer.from(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`), 403],
  ['TRACE', request('TRACE /'), 403],
  [
    'an h2c upgrade',
    request('GET /', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA']),
    501,
  ],
  ['a nominated Authorization', request('GET /', ['Connection: keep-alive, authorization']), 400],
  ['a nominated security token', request('GET /', ['Connection: x-amz-security-token']), 400],
  ['both framings', request('POST /', ['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'), 400],
  ['two lengths', request('POST /', ['Content-Length: 4', 'Content-Length: 5'], 'abcde'), 400],
  ['the HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 400],
]

for (const [name, bytes, status] of misdirections) {
  test(`${name} is refused and audited, and nothing is sent`, async () => {
    await using bed = openBed()
    await using trap = await openTrap(serverIdentity(host, { authority: bed.upstreamCa }))
    const answer = await intoTrap(bed, trap, bytes)
    assert(answer && [status, 505].includes(answer.head.status), String(answer?.head.status))
    assert.match(answer.body.toString(), /^tideway: /)
    assert.equal(trap.text(), '')
    assert.deepEqual(
      bed.audit.starts.map(({ decision }) => decision),
      ['refused'],
    )
  })
}

test('a request smuggled in a body stays a body', async () => {
  await using bed = openBed()
  const bodies: string[] = []
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ body }) => {
      bodies.push(body.toString())
      return response()
    }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  const smuggled = 'GET /admin HTTP/1.1\r\nHost: evil.example\r\n\r\n'
  const answer = await client.send(request('PUT /key', [`Content-Length: ${smuggled.length}`], smuggled))
  assert.equal(answer?.head.status, 200)
  assert.deepEqual(bodies, [smuggled])
  assert.equal(bed.plane.stats().requests, 1)
})

test('a pipelined second request is checked like the first', async () => {
  await using bed = openBed()
  await using trap = await openTrap(serverIdentity(host, { authority: bed.upstreamCa }))
  bed.plane.apply(scopeOf(trap.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: trap.port })
  using client = await openClient(bed, proxy)
  const second = Buffer.from('GET /second HTTP/1.1\r\nHost: evil.example\r\n\r\n')
  const first = await client.send(Buffer.concat([request('GET /first'), second]))
  assert.equal(first?.head.status, 200)
  const refused = await client.send('')
  assert.equal(refused?.head.status, 421)
  assert(!trap.text().includes('/second'))
})

test('what authenticated the request before is replaced as a whole', async () => {
  await using bed = openBed()
  await using trap = await openTrap(serverIdentity(host, { authority: bed.upstreamCa }))
  const answer = await intoTrap(
    bed,
    trap,
    request('GET /key?X-Amz-Signature=old&keep=1', [
      'Authorization: AWS4-HMAC-SHA256 Credential=AKIAOWN/x, SignedHeaders=host, Signature=00',
      'X-Amz-Security-Token: own-token',
      'X-Amz-Date: 20200101T000000Z',
      'Proxy-Authorization: Basic eDp5',
    ]),
  )
  assert.equal(answer?.head.status, 200)
  const text = trap.text()
  assert.match(text, /^GET \/key\?keep=1 HTTP\/1\.1\r\n/)
  assert.equal(text.match(/authorization: /gi)?.length, 1)
  assert(!/AKIAOWN|own-token|20200101T|Basic/.test(text))
})

test('a refused trap leaves no credential in audit records', async () => {
  await using bed = openBed()
  await using trap = await openTrap(serverIdentity(host))
  await intoTrap(bed, trap, request('GET /key?password=hunter2', ['Authorization: Bearer abc']))
  const records = JSON.stringify([bed.audit.starts, bed.audit.ends])
  assertNothingIn(records.replaceAll('"ASIAFIRST"', ''))
  assert(!/hunter2|Bearer/.test(records))
})
