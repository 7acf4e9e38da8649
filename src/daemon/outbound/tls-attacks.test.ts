import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTo } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls'
import {
  binding,
  host,
  listenPlain,
  listenTls,
  openBed,
  other,
  scopeOf,
  serverIdentity,
  sharedScopeOf,
} from './fixture.ts'
import { answering, openClient, request, response, type Client } from './talk.ts'

/** What TLS itself offers to those who want a credential to go where it does not belong. */

const address = '127.0.0.1'
/** Which OpenSSL refuses by itself unless told otherwise. */
const obsolete = {
  minVersion: 'TLSv1',
  maxVersion: 'TLSv1.1',
  ciphers: 'DEFAULT@SECLEVEL=0',
} as const
const tls12 = { maxVersion: 'TLSv1.2' } as const

test('a client that knows TLS 1.1 at most is refused, and upstream hears nothing of it', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), () => {})
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  await assert.rejects(openClient(bed, proxy, obsolete), /alert protocol version/)
  assert.equal(upstream.sockets.length, 0)
})

const weakUpstreams: [name: string, options: TlsOptions, told: RegExp][] = [
  ['TLS 1.1 at most', obsolete, /takes neither TLS 1\.2 nor 1\.3/],
  ['no cipher that authenticates', { ...tls12, ciphers: 'aNULL@SECLEVEL=0' }, /shares no cipher/],
  [
    'a wish for a client certificate',
    { ...tls12, requestCert: true, rejectUnauthorized: true },
    /wants a client certificate/,
  ],
  ['no protocol of ours', { ALPNProtocols: ['other'] }, /speaks neither HTTP\/2 nor HTTP\/1\.1/],
]

for (const [name, options, told] of weakUpstreams) {
  test(`an upstream with ${name} decrypts nothing, and the workload is told`, async () => {
    await using bed = openBed()
    const caught: Buffer[] = []
    const identity = serverIdentity(host, { authority: bed.upstreamCa })
    await using upstream = await listenTls({ ...identity, ...options }, (socket) => {
      socket.on('data', (bytes: Buffer) => caught.push(bytes))
    })
    bed.plane.apply(scopeOf(upstream.port))
    using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
    const answer = await client.send(request('GET /'))
    assert.equal(answer?.head.status, 502)
    assert.match(answer.body.toString(), /TLS with s3\.us-east-1\.amazonaws\.com failed/)
    assert.match(answer.body.toString(), told)
    assert.doesNotMatch(answer.body.toString(), /SSL routines/)
    assert.deepEqual(caught, [])
  })
}

test('an upstream that speaks no TLS is told from one that cannot be proved', async () => {
  await using bed = openBed()
  await using upstream = await listenPlain((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
  const answer = await client.send(request('GET /'))
  assert.match(answer?.body.toString() ?? '', /failed: what answers there does not speak TLS/)
})

test('an upstream that wants a client certificate once it has begun is told in words', async () => {
  await using bed = openBed()
  const identity = serverIdentity(host, { authority: bed.upstreamCa })
  await using upstream = await listenTls(
    { ...identity, requestCert: true, rejectUnauthorized: true },
    () => {},
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 502)
  assert.doesNotMatch(answer.body.toString(), /SSL routines/)
})

const unableClients: [name: string, options: ConnectionOptions, told: RegExp][] = [
  ['TLS 1.1 at most', obsolete, /ProtocolSupported .* neither TLS 1\.2 nor 1\.3/],
  ['no cipher of ours', { ...tls12, ciphers: 'AES128-SHA' }, /ProtocolSupported .* no cipher that we take/],
]

for (const [name, options, told] of unableClients) {
  test(`a client with ${name} is reported, until one can speak with us`, async () => {
    const reported: string[] = []
    await using bed = openBed({
      onCondition: ({ type, status, message }) => void reported.push(`${type} ${status} ${message}`),
    })
    await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), () => {})
    bed.plane.apply(scopeOf(upstream.port))
    const proxy = await bed.listen({ address, port: upstream.port })
    await assert.rejects(openClient(bed, proxy, options))
    while (!reported.some((condition) => told.test(condition))) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    using _ = await openClient(bed, proxy)
    while (!reported.some((condition) => condition.startsWith('ProtocolSupported True'))) {
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
}

test('a client cannot renegotiate', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(() => response()),
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }), tls12)
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  const socket = client.link.socket as TLSSocket
  const refused = once(socket, 'error')
  socket.renegotiate({}, () => assert.fail('it renegotiated'))
  assert.match(String(await refused), /no renegotiation/)
})

test('an upstream cannot renegotiate: it is checked in the first handshake, and there is no other', async () => {
  await using bed = openBed()
  const asked = Promise.withResolvers<string>()
  await using upstream = await listenTls(
    { ...serverIdentity(host, { authority: bed.upstreamCa }), ...tls12 },
    answering(async (_, { socket }) => {
      socket.once('error', ({ message }) => asked.resolve(message))
      ;(socket as TLSSocket).renegotiate({}, () => asked.resolve('it renegotiated'))
      await asked.promise
      return response()
    }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
  const answer = client.send(request('GET /'))
  assert.match(await asked.promise, /no renegotiation/)
  assert.equal((await answer)?.head.status, 502)
})

test('a session that another identity resumes is signed for as that other one', async () => {
  await using bed = openBed()
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      const { value = '' } = head.headers.find(({ name }) => name === 'authorization') ?? {}
      return response(/Credential=(\w+)/.exec(value)?.[1])
    }),
  )
  bed.plane.apply(sharedScopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  const ask = async (client: Client) => (await client.send(request('GET /')))?.body.toString()

  using first = await openClient(bed, proxy)
  const ticket = once(first.link.socket, 'session') as Promise<[Buffer]>
  assert.equal(await ask(first), 'ASIAFIRST')
  const [session] = await ticket
  bed.identifier.verdict = { kind: 'identified', identity: other, executable: '/usr/bin/other' }
  using second = await openClient(bed, proxy, { session })
  assert((second.link.socket as TLSSocket).isSessionReused())
  assert.equal(await ask(second), 'ASIAOTHER')
})

/** The first flight of OpenSSL's own client. */
async function firstFlight(servername: string): Promise<Buffer> {
  const wire = new Duplex({
    read: () => undefined,
    write(bytes: Buffer, _encoding, done) {
      wire.emit('flight', bytes)
      done()
    },
  })
  const flight = once(wire, 'flight') as Promise<[Buffer]>
  const client = connect({ servername, socket: wire })
  client.on('error', () => undefined)
  const [bytes] = await flight
  client.destroy()
  return bytes
}

/** The hello of a client that names `name`, whatever it is: lengths are kept, so it must be as long as the host. */
async function helloNaming(name: string): Promise<Buffer> {
  assert.equal(name.length, host.length)
  const hello = await firstFlight(host)
  const at = hello.indexOf(host)
  assert.ok(at > 0)
  hello.write(name, at, 'latin1')
  return hello
}

const names: [what: string, name: string][] = [
  ['a NUL behind the bound name', `${host.slice(0, -1)}\0`],
  ['white space', `${host.slice(0, -4)} com`],
  ['an empty label', host.replace('.us-', '..s-')],
  ['a dot at its end', `${host.slice(1)}.`],
  ['bytes that are no ASCII', `\xe9${host.slice(1)}`],
  ['an address in place of a name', '2001:0db8:0000:0000:0000:0'],
  ['a name that is not bound', `x${host.slice(1)}`],
]

for (const [what, name] of names) {
  test(`a hello with ${what} reaches its destination as it was written, and nothing is signed`, async () => {
    await using bed = openBed()
    const hello = await helloNaming(name)
    const seen = Promise.withResolvers<Buffer>()
    let received = Buffer.alloc(0)
    await using upstream = await listenPlain((socket) => {
      socket.on('data', (bytes: Buffer) => {
        received = Buffer.concat([received, bytes])
        if (received.length >= hello.length) seen.resolve(received)
      })
    })
    bed.plane.apply(scopeOf(upstream.port))
    const proxy = await bed.listen({ address, port: upstream.port })
    const socket = connectTo(proxy.port, address)
    socket.write(hello)
    assert.deepEqual(await seen.promise, hello)
    assert.equal(bed.plane.stats().intercepted, 0)
    assert.deepEqual(bed.audit.starts, [])
    socket.destroy()
  })
}

test('without a server name a connection to an address that no Service lists passes untouched', async () => {
  await using bed = openBed()
  const signed: boolean[] = []
  await using upstream = await listenTls(
    serverIdentity(address, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      signed.push(head.headers.some(({ name }) => name === 'authorization'))
      return response()
    }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })
  const ca = bed.upstreamCa.certificate.toString()
  using client = await openClient(bed, proxy, { servername: '', ca })
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  assert.deepEqual(signed, [false])
})

test('without a server name an address that a Service lists has to be proved by its certificate', async () => {
  for (const [name, status] of [
    [address, 200],
    [host, 502],
  ] as const) {
    await using bed = openBed()
    await using upstream = await listenTls(
      serverIdentity(name, { authority: bed.upstreamCa }),
      answering(() => response()),
    )
    const { port } = upstream
    const addresses = [{ host: address, port }]
    const signing = { service: 's3', region: 'us-east-1' }
    bed.plane.apply(scopeOf(port, { service: { addresses, signing } }))
    using client = await openClient(bed, await bed.listen({ address, port }), { servername: '' })
    const asked = Buffer.from(`GET / HTTP/1.1\r\nHost: ${address}:${port}\r\n\r\n`)
    assert.equal((await client.send(asked))?.head.status, status)
  }
})

test('a Host that is bound as well, but is not the one of the connection, is refused', async () => {
  await using bed = openBed()
  const other = 'sts.us-east-1.amazonaws.com'
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), () => {})
  const { port } = upstream
  const scope = scopeOf(port, { bindings: [binding({ serviceNames: ['s3', 'sts'] })] })
  const sts = { name: 'sts', addresses: [{ host: other, port }] }
  bed.plane.apply({ ...scope, services: new Map([...scope.services, ['sts', sts]]) })
  using client = await openClient(bed, await bed.listen({ address, port }))
  const answer = await client.send(`GET / HTTP/1.1\r\nHost: ${other}\r\n\r\n`)
  assert.equal(answer?.head.status, 421)
  assert.equal(upstream.sockets.length, 0)
})

/** The hello with one more extension: an encrypted hello, whose real name nobody on the way can read. */
function encrypted(hello: Buffer): Buffer {
  const extension = Buffer.from('fe0d0002feed', 'hex')
  const grown = Buffer.concat([hello, extension])
  const grow = (at: number) => grown.writeUInt16BE(grown.readUInt16BE(at) + extension.length, at)
  grow(3) // the record
  grow(7) // the message: the low two bytes of three
  // Version, random, session id, cipher suites and compression methods stand before the extensions.
  const session = 43 + 1 + grown[43]!
  const suites = session + 2 + grown.readUInt16BE(session)
  grow(suites + 1 + grown[suites]!)
  return grown
}

test('an encrypted hello is taken for its outer name: signed for nobody unless that proves itself', async () => {
  await using bed = openBed()
  let received = 0
  await using upstream = await listenPlain((socket) => {
    socket.on('data', (bytes: Buffer) => (received += bytes.length))
  })
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address, port: upstream.port })

  const bound = connectTo(proxy.port, address)
  bound.write(encrypted(await helloNaming(host)))
  const [answer] = (await once(bound, 'data')) as [Buffer]
  assert.equal(answer[0], 22, 'a handshake of our own, for the outer name')
  assert.equal(received, 0)
  bound.destroy()

  const other = connectTo(proxy.port, address)
  const hello = encrypted(await helloNaming(`x${host.slice(1)}`))
  other.write(hello)
  while (received < hello.length) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(received, hello.length)
  assert.deepEqual(bed.audit.starts, [])
  other.destroy()
})
