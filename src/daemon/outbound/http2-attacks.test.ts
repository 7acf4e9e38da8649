import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import {
  host,
  listenPlain,
  listenTls,
  openBed,
  scopeOf,
  serverIdentity,
  type Bed,
  type Listener,
} from './fixture.ts'
import {
  block,
  endHeaders,
  endStream,
  frame,
  openFrameReader,
  preface,
  type,
  type Field,
  type Frame,
} from './http2-frames.ts'
import { listenHttp2, openHttp2Client } from './http2-talk.ts'
import { answering, openPlainClient, openTls, response } from './talk.ts'

/** HTTP/2 as no library would send it. */

const pseudo: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', host],
  [':path', '/'],
]

/** A client that sends frames by hand and notes those it gets. */
class RawClient implements Disposable {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  closed = false
  #changed = Promise.withResolvers<void>()

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#changed.resolve()
    })
    const read = openFrameReader()
    socket.on('data', (chunk: Buffer) => {
      this.frames.push(...read(chunk))
      this.#changed.resolve()
    })
    socket.write(preface)
    socket.write(frame(type.settings, 0, 0))
  }

  /** Resolves once `holds`, or the connection has closed; answers whether it has closed. */
  async until(holds: () => boolean): Promise<boolean> {
    while (!this.closed && !holds()) {
      await this.#changed.promise
      this.#changed = Promise.withResolvers()
    }
    return this.closed
  }

  /** What came of a request: `reset`, `closed`, or the status (sent as an indexed or literal field) as its block. */
  async outcome(stream: number): Promise<'reset' | 'closed' | 'answered'> {
    const mine = () => this.frames.find((item) => item.stream === stream && item.kind !== type.data)
    const goodbye = () => this.frames.some(({ kind }) => kind === type.goaway)
    await this.until(() => mine() !== undefined || goodbye())
    if (mine()?.kind === type.headers) return 'answered'
    return mine() ? 'reset' : 'closed'
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

async function openRaw(bed: Bed, proxy: Listener): Promise<RawClient> {
  return new RawClient(await openTls(bed, proxy, { ALPNProtocols: ['h2'] }))
}

interface World extends AsyncDisposable {
  readonly bed: Bed
  readonly proxy: Listener
  readonly upstream: { readonly port: number }
  /** Paths of the requests that upstream saw. */
  readonly seen: string[]
  /** Names of the fields that it saw over HTTP/1.1. */
  readonly names: string[]
}

async function openWorld({
  http1 = false,
  ...options
}: Parameters<typeof openBed>[0] & { http1?: boolean } = {}): Promise<World> {
  const stack = new AsyncDisposableStack()
  const bed = stack.use(openBed(options))
  const seen: string[] = []
  const names: string[] = []
  const upstream = stack.use(
    http1
      ? await listenTls(
          serverIdentity(host, { authority: bed.upstreamCa }),
          answering(({ head }) => {
            seen.push(head.target)
            names.push(...head.headers.map(({ name }) => name))
            return response()
          }),
        )
      : await listenHttp2(bed, (stream, headers) => {
          seen.push(headers[':path']!)
          if (headers[':path'] === '/hang') return
          stream.respond({ ':status': 200 })
          stream.end()
        }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  return { bed, proxy, upstream, seen, names, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const without = (name: string) => pseudo.filter((field) => field[0] !== name)

const malformed: [name: string, fields: readonly Field[], body?: string][] = [
  ['an upper-case name', [...pseudo, ['X-Upper', 'a']]],
  ['transfer-encoding', [...pseudo, ['transfer-encoding', 'chunked']]],
  ['connection', [...pseudo, ['connection', 'x-amz-date']]],
  ['upgrade', [...pseudo, ['upgrade', 'websocket']]],
  ['te other than trailers', [...pseudo, ['te', 'chunked']]],
  ['a line break in the path', [...without(':path'), [':path', '/ HTTP/1.1\r\nx: y']]],
  ['a space in the path', [...without(':path'), [':path', '/a b']]],
  ['an empty path', [...without(':path'), [':path', '']]],
  ['a path with a host of its own', [...without(':path'), [':path', 'https://evil.example/']]],
  ['a path that is none', [...without(':path'), [':path', 'evil.example/']]],
  ['no path', without(':path')],
  ['a scheme with a request of its own', [...without(':scheme'), [':scheme', 'https://evil/ HTTP/1.1\r\nx']]],
  ['no method', without(':method')],
  ['a method with a space', [...without(':method'), [':method', 'GET /evil HTTP/1.1\r\nx:']]],
  ['no authority', without(':authority')],
  ['two authorities', [...pseudo, [':authority', host]]],
  ['an authority with user information', [...without(':authority'), [':authority', `x@${host}`]]],
  ['two paths', [...pseudo, [':path', '/other']]],
  ['an unknown pseudo-header', [...pseudo, [':evil', 'x']]],
  ['a pseudo-header behind a field', [...without(':path'), ['x', 'y'], [':path', '/']]],
  ['an extended CONNECT', [...pseudo, [':protocol', 'websocket']]],
  ['a length that is none', [...pseudo, ['content-length', '+5']], 'hello'],
  ['two lengths', [...pseudo, ['content-length', '5'], ['content-length', '6']], 'hello'],
  ['a length beyond the body', [...pseudo, ['content-length', '6']], 'hello'],
  ['a length below the body', [...pseudo, ['content-length', '4']], 'hello'],
  ['a length without a body', [...pseudo, ['content-length', '5']]],
]

for (const [name, fields, body] of malformed) {
  test(`refused in HTTP/2, and upstream sees nothing of it: ${name}`, async () => {
    await using world = await openWorld({ http1: true })
    using client = await openRaw(world.bed, world.proxy)
    const flags = endHeaders | (body === undefined ? endStream : 0)
    client.socket.write(frame(type.headers, flags, 1, block(fields)))
    if (body !== undefined) client.socket.write(frame(type.data, endStream, 1, Buffer.from(body)))
    const outcome = await client.outcome(1)
    if (outcome === 'answered') {
      assert.equal(world.bed.audit.starts[0]?.decision, 'refused')
    }
    // Whatever had gone upstream would have come before this.
    using next = await openHttp2Client(world.bed, world.proxy)
    assert.equal((await next.send({ ':method': 'GET', ':path': '/good' })).status, 200)
    assert.deepEqual(world.seen, ['/good'])
    assert.equal(world.bed.plane.stats().injected, 1)
  })
}

/** nghttp2 drops them unseen, as if they had not been sent. */
const dropped: [name: string, fields: readonly Field[]][] = [
  ['a line feed in a value', [...pseudo, ['x', 'a\nhost: evil']]],
  ['a carriage return in a value', [...pseudo, ['x', 'a\r\n\r\nGET /evil HTTP/1.1']]],
  ['a NUL in a value', [...pseudo, ['x', 'a\0b']]],
  ['a line feed in a name', [...pseudo, ['x\n', 'a']]],
  ['a colon in a name', [...pseudo, ['x: y', 'a']]],
  ['an empty name', [...pseudo, ['', 'a']]],
]

for (const [name, fields] of dropped) {
  test(`dropped in HTTP/2, and upstream sees one request without it: ${name}`, async () => {
    await using world = await openWorld({ http1: true })
    using client = await openRaw(world.bed, world.proxy)
    client.socket.write(frame(type.headers, endHeaders | endStream, 1, block(fields)))
    assert.equal(await client.outcome(1), 'answered')
    assert.deepEqual(world.seen, ['/'])
    assert(world.names.every((name) => !name.startsWith('x') || name.startsWith('x-amz-')))
    assert.equal(world.bed.plane.stats().requests, 1)
  })
}

const misdirected: [name: string, headers: Record<string, string>, status: number][] = [
  ['another authority than the server name', { ':authority': 'sts.amazonaws.com' }, 421],
  ['another port', { ':authority': `${host}:8443` }, 421],
  ['a host beside the authority that differs', { host: 'sts.amazonaws.com' }, 400],
  ['TRACE', { ':method': 'TRACE' }, 403],
  ['a scheme that is none of ours', { ':scheme': 'ftp' }, 400],
  ['an unknown expectation', { expect: 'the-impossible' }, 417],
]

for (const [name, headers, status] of misdirected) {
  test(`answered with ${status} over HTTP/2, and not sent: ${name}`, async () => {
    await using world = await openWorld()
    using client = await openHttp2Client(world.bed, world.proxy)
    const answer = await client.send({ ':method': 'GET', ':path': '/', ...headers })
    assert.equal(answer.status, status)
    assert(answer.headers['x-tideway-error'])
    assert.equal(world.bed.audit.starts[0]?.decision, 'refused')
    assert.deepEqual(world.seen, [])
    assert.equal((await client.send({ ':method': 'GET', ':path': '/good' })).status, 200)
  })
}

const trailers: [name: string, field: Field][] = [
  ['a length', ['content-length', '5']],
  ['a coding', ['transfer-encoding', 'chunked']],
  ['a host', ['host', 'evil.example']],
  ['an authorization', ['authorization', 'theirs']],
  ['a token', ['x-amz-security-token', 'theirs']],
  ['an ACL', ['x-amz-acl', 'public-read']],
  ['a pseudo-header', [':path', '/evil']],
]

for (const [name, field] of trailers) {
  test(`trailers over HTTP/2 with ${name} complete no request of HTTP/1.1`, async () => {
    await using bed = openBed()
    const begun = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    let received = ''
    await using upstream = await listenTls(
      serverIdentity(host, { authority: bed.upstreamCa }),
      (socket: Socket) => {
        socket.once('close', ended.resolve)
        socket.on('data', (bytes: Buffer) => {
          received += bytes.toString('latin1')
          if (received.endsWith('5\r\nhello\r\n')) begun.resolve()
          if (received.includes('\r\n0\r\n')) ended.resolve()
        })
      },
    )
    const signing = { service: 'vpc-lattice-svcs', region: 'us-east-1' }
    bed.plane.apply(scopeOf(upstream.port, { service: { signing } }))
    using client = await openRaw(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
    const post: Field[] = [...without(':method'), [':method', 'POST']]
    client.socket.write(frame(type.headers, endHeaders, 1, block(post)))
    client.socket.write(frame(type.data, 0, 1, Buffer.from('hello')))
    await begun.promise
    client.socket.write(frame(type.headers, endHeaders | endStream, 1, block([field])))
    await ended.promise
    assert.match(received, /\r\n\r\n5\r\nhello\r\n$/)
  })
}

test('CONNECT is refused over HTTP/2', async () => {
  await using world = await openWorld()
  using client = await openRaw(world.bed, world.proxy)
  const fields: Field[] = [
    [':method', 'CONNECT'],
    [':authority', `${host}:${world.upstream.port}`],
  ]
  client.socket.write(frame(type.headers, endHeaders, 1, block(fields)))
  assert.equal(await client.outcome(1), 'answered')
  assert.match(world.bed.audit.starts[0]!.reason!, /method CONNECT/)
  assert.deepEqual(world.seen, [])
})

/** Writes for as long as `lasts`, as fast as the connection takes it. */
async function flood(
  client: RawClient,
  lasts: () => boolean,
  bytes: (round: number) => Buffer,
): Promise<void> {
  for (let round = 0; lasts();) {
    if (client.socket.writableLength < 1_000_000) {
      client.socket.write(bytes(round))
      round += 1
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Connections ended for what they did to HTTP/2, as the audit has it. */
function refusals({ bed }: World): number {
  return bed.audit.starts.filter(({ reason }) => reason?.startsWith('WIRE_MALFORMED: HTTP/2: ')).length
}

/** Frames per write of a flood. */
const burst = 200
const many = (make: (at: number) => Buffer) =>
  Buffer.concat(Array.from({ length: burst }, (_, at) => make(at)))

const floods: [name: string, bytes: (round: number) => Buffer][] = [
  [
    'requests that are reset at once (CVE-2023-44487)',
    (round) =>
      many((at) => {
        const stream = 1 + 2 * (round * burst + at)
        const request = frame(type.headers, endHeaders | endStream, stream, block(pseudo))
        return Buffer.concat([request, frame(type.rstStream, 0, stream, Buffer.from([0, 0, 0, 8]))])
      }),
  ],
  [
    'a head that never ends (CONTINUATION)',
    (round) => {
      const part = block([['x'.repeat(60), 'y'.repeat(60)]])
      if (round === 0) return frame(type.headers, endStream, 1, block(pseudo))
      return many(() => frame(type.continuation, 0, 1, part))
    },
  ],
  [
    'a head beyond every bound',
    (round) => {
      const part = block([['x', 'y'.repeat(16_000)]])
      return round === 0
        ? frame(type.headers, endStream, 1, block(pseudo))
        : frame(type.continuation, 0, 1, part)
    },
  ],
  [
    'requests that make us reset them (CVE-2025-8671)',
    (round) =>
      many((at) => {
        const stream = 1 + 2 * (round * burst + at)
        const request = frame(type.headers, endHeaders | endStream, stream, block(pseudo))
        return Buffer.concat([request, frame(type.windowUpdate, 0, stream, Buffer.alloc(4))])
      }),
  ],
  [
    'a body of empty frames without end (CVE-2019-9518)',
    (round) =>
      round === 0 ? frame(type.headers, endHeaders, 1, block(pseudo)) : many(() => frame(type.data, 0, 1)),
  ],
  [
    'settings with too many entries',
    () =>
      frame(
        type.settings,
        0,
        0,
        Buffer.concat(Array.from({ length: 64 }, () => Buffer.from('000300000064', 'hex'))),
      ),
  ],
]

for (const [name, bytes] of floods) {
  test(`a flood ends its connection and no other: ${name}`, async () => {
    await using world = await openWorld()
    using neighbour = await openHttp2Client(world.bed, world.proxy)
    using client = await openRaw(world.bed, world.proxy)
    await flood(client, () => !client.closed, bytes)
    while (refusals(world) === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.equal((await neighbour.send({ ':method': 'GET', ':path': '/good' })).status, 200)
  })
}

for (const [name, one] of [
  ['PING', frame(type.ping, 0, 0, Buffer.alloc(8))],
  ['SETTINGS', frame(type.settings, 0, 0)],
] as const) {
  test(`a client that floods with ${name} and reads no answer is ended, before much is held for it`, async () => {
    await using world = await openWorld()
    using client = await openRaw(world.bed, world.proxy)
    client.socket.pause()
    const bytes = many(() => one)
    await flood(
      client,
      () => world.bed.plane.stats().connections > 0,
      () => bytes,
    )
    while (refusals(world) === 0) await new Promise((resolve) => setImmediate(resolve))
  })
}

test('requests beyond those of a connection, and of an identity, are turned away unprocessed', async () => {
  await using world = await openWorld({ limits: { maxStreamsPerConnection: 4, maxStreamsPerIdentity: 6 } })
  const hang = [...without(':path'), [':path', '/hang']] as const
  using one = await openRaw(world.bed, world.proxy)
  for (let at = 0; at < 6; at += 1) {
    one.socket.write(frame(type.headers, endHeaders | endStream, 1 + 2 * at, block(hang)))
  }
  const resets = () => one.frames.filter(({ kind }) => kind === type.rstStream)
  await one.until(() => resets().length === 2)
  assert(resets().every(({ payload }) => payload.equals(Buffer.from([0, 0, 0, 7]))))
  while (world.seen.length < 4) await new Promise((resolve) => setImmediate(resolve))
  using two = await openHttp2Client(world.bed, world.proxy)
  const streams = Array.from({ length: 3 }, () => two.start({ ':method': 'GET', ':path': '/hang' }))
  await Promise.race(streams.map((stream) => once(stream, 'error')))
  while (world.seen.length < 6) await new Promise((resolve) => setImmediate(resolve))
  const refused = 7
  assert.equal(streams.filter(({ rstCode }) => rstCode === refused).length, 1)
})

test('a head over the bound is refused, and the connection goes on', async () => {
  await using world = await openWorld()
  using client = await openHttp2Client(world.bed, world.proxy)
  const many = Object.fromEntries(Array.from({ length: 125 }, (_, at) => [`x-${at}`, 'y'.repeat(500)]))
  const answer = await client.send({ ':method': 'GET', ':path': '/', ...many }).catch(() => undefined)
  assert(answer === undefined || answer.status === 431)
  assert.deepEqual(world.seen, [])
  assert.equal((await client.send({ ':method': 'GET', ':path': '/good' })).status, 200)
})

test('HTTP/2 without TLS is refused at a bound host and spliced to any other', async () => {
  await using bed = openBed()
  let received = ''
  await using upstream = await listenPlain((socket) => {
    socket.on('data', (chunk) => {
      received += String(chunk)
      socket.end('heard')
    })
  })
  bed.plane.apply(
    scopeOf(upstream.port, { service: { addresses: [{ host: '127.0.0.1', port: upstream.port }] } }),
  )
  using client = await openPlainClient(await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  const answer = await client.send(preface)
  assert(answer && answer.head.status >= 400 && answer.head.status < 600)
  assert.equal(bed.audit.starts[0]?.decision, 'refused')
  assert.equal(received, '')
  bed.plane.apply(scopeOf(upstream.port))
  using other = await openPlainClient(await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  void other.link.write(Buffer.from(preface))
  while (await other.link.fill());
  assert.equal(other.link.held.toString(), 'heard')
  assert.equal(received, preface)
})
