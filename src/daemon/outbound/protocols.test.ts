import assert from 'node:assert/strict'
import { test } from 'node:test'
import { host, listenTls, openBed, scopeOf, serverIdentity, type Bed } from './fixture.ts'
import { listenHttp2, openHttp2Client, readAnswer } from './http2-talk.ts'
import { Link } from './link.ts'
import { answering, openClient, readRequest, readRequestHead, request, response } from './talk.ts'

/** Each combination of HTTP/1.1 and HTTP/2 toward workload and upstream. */

type Protocol = 'h2' | 'http/1.1'

/** A service of whose bodies nothing is signed: they stream whatever their length. */
const streaming = { signing: { service: 'vpc-lattice-svcs', region: 'us-east-1' } }

/** What an upstream saw of a request. */
interface Seen {
  readonly protocol: Protocol
  readonly method: string
  readonly target: string
  readonly authority: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** An upstream that speaks one protocol, and answers with what it saw, as JSON. */
async function openEcho(bed: Bed, protocol: Protocol) {
  if (protocol === 'h2') {
    return listenHttp2(bed, (stream, headers) => {
      const read = async () => {
        const parts: Buffer[] = []
        for await (const part of stream) parts.push(part as Buffer)
        const { ':method': method, ':path': target, ':authority': authority, ...rest } = headers
        const seen = {
          protocol,
          method,
          target,
          authority,
          headers: rest,
          body: Buffer.concat(parts).toString(),
        }
        stream.respond({ ':status': 200, 'x-upstream': protocol })
        stream.end(JSON.stringify(seen))
      }
      read().catch(() => stream.destroy())
    })
  }
  return listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head, body }) => {
      const headers = Object.fromEntries(head.headers.map(({ name, value }) => [name, value]))
      const { method, target, host: authority } = head
      const seen = { protocol, method, target, authority, headers, body: body.toString() }
      return response(JSON.stringify(seen), 'HTTP/1.1 200 OK\r\nX-Upstream: http/1.1')
    }),
  )
}

async function openPath(bed: Bed, upstream: { port: number }) {
  bed.plane.apply(scopeOf(upstream.port))
  return bed.listen({ address: '127.0.0.1', port: upstream.port })
}

const combinations: [client: Protocol, upstream: Protocol][] = [
  ['http/1.1', 'http/1.1'],
  ['http/1.1', 'h2'],
  ['h2', 'http/1.1'],
  ['h2', 'h2'],
]

for (const [spoken, upstreamProtocol] of combinations) {
  test(`requests of a client that speaks ${spoken} reach an upstream that speaks ${upstreamProtocol}`, async () => {
    await using bed = openBed()
    await using upstream = await openEcho(bed, upstreamProtocol)
    const proxy = await openPath(bed, upstream)
    const exchanges: [method: string, path: string, body?: string][] = [
      ['GET', '/bucket/key?a=b&c'],
      ['PUT', '/bucket/a%20b', 'a body'],
      ['GET', '/bucket//a/../b/./c%2Fd%2f/'],
      ['DELETE', '/bucket/key'],
    ]
    using http1 = spoken === 'http/1.1' ? await openClient(bed, proxy) : undefined
    using http2 = spoken === 'h2' ? await openHttp2Client(bed, proxy) : undefined
    for (const [method, path, body] of exchanges) {
      const length = body === undefined ? [] : [`Content-Length: ${body.length}`]
      const text = http1
        ? (await http1.send(request(`${method} ${path}`, length, body)))?.body.toString()
        : (await http2!.send({ ':method': method, ':path': path }, body)).body
      const seen = JSON.parse(text!) as Seen
      assert.equal(seen.protocol, upstreamProtocol)
      assert.equal(`${seen.method} ${seen.target} ${seen.body}`, `${method} ${path} ${body ?? ''}`)
      assert.equal(seen.authority, host)
      assert.match(seen.headers['authorization']!, /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\//)
    }
    assert.deepEqual(
      bed.audit.starts.map(({ method, path, decision }) => `${method} ${path} ${decision}`),
      exchanges.map(([method, path]) => `${method} ${path.replace(/\?.*/, '')} injected`),
    )
    const ends = await bed.audit.untilEnds(exchanges.length)
    assert(ends.every(({ status }) => status === 200))
  })
}

test('a client that offers both protocols gets the one that its upstream is known to insist on', async () => {
  await using bed = openBed()
  await using upstream = await openEcho(bed, 'http/1.1')
  const proxy = await openPath(bed, upstream)
  const offers = { ALPNProtocols: ['h2', 'http/1.1'] }
  using first = await openHttp2Client(bed, proxy, offers)
  assert.equal(first.socket.alpnProtocol, 'h2')
  assert.equal((await first.send({ ':method': 'GET', ':path': '/' })).status, 200)
  using second = await openClient(bed, proxy, offers)
  assert.equal((await second.send(request('GET /')))?.head.status, 200)
  using third = await openHttp2Client(bed, proxy)
  assert.equal((await third.send({ ':method': 'GET', ':path': '/' })).status, 200)
})

/** An upstream that speaks HTTP/1.1 by hand. */
function openByHand(bed: Bed, talk: (link: Link) => Promise<void>) {
  return listenTls(serverIdentity(host, { authority: bed.upstreamCa }), (socket) => {
    talk(new Link(socket)).catch(() => socket.destroy())
  })
}

for (const [status, head] of [
  [200, 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"'],
  [204, 'HTTP/1.1 204 No Content\r\nETag: "x"'],
  [304, 'HTTP/1.1 304 Not Modified\r\nETag: "x"'],
] as const) {
  for (const upstreamProtocol of ['h2', 'http/1.1'] as const) {
    test(`an answer without body passes: ${status} of an upstream that speaks ${upstreamProtocol}`, async () => {
      await using bed = openBed()
      await using upstream =
        upstreamProtocol === 'h2'
          ? await listenHttp2(bed, (stream) => {
              stream.respond({
                ':status': status,
                etag: '"x"',
                ...(status === 200 && { 'content-length': 5 }),
              })
              stream.end()
            })
          : await openByHand(bed, async (link) => {
              while (await readRequest(link)) void link.write(Buffer.from(`${head}\r\n\r\n`))
            })
      const proxy = await openPath(bed, upstream)
      using client = await openHttp2Client(bed, proxy)
      for (let round = 0; round < 2; round += 1) {
        const answer = await client.send({ ':method': status === 200 ? 'HEAD' : 'GET', ':path': '/' })
        assert.equal(answer.status, status)
        assert.equal(answer.headers.etag, '"x"')
        assert.equal(answer.headers['content-length'], status === 200 ? '5' : undefined)
        assert.equal(answer.body, '')
      }
    })
  }
}

test('trailers pass both ways between HTTP/2 and the chunks of HTTP/1.1', async () => {
  await using bed = openBed()
  let received = ''
  await using upstream = await openByHand(bed, async (link) => {
    await readRequestHead(link)
    while (!link.held.includes('\r\n\r\n')) await link.fill()
    received = link.held.toString()
    const chunks = '2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n'
    void link.write(Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`))
  })
  bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openHttp2Client(bed, proxy)
  const stream = client.start({ ':method': 'PUT', ':path': '/' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': 'abc' }))
  stream.end('hello')
  const { body, trailers } = await readAnswer(stream)
  assert.equal(received, '5\r\nhello\r\n0\r\nx-checksum: abc\r\n\r\n')
  assert.equal(body, 'hi')
  assert.equal(trailers['x-sum'], '1, 2')
})

for (const name of ['upgrade', 'keep-alive', 'proxy-connection', 'http2-settings']) {
  test(`a trailer that HTTP/2 has no place for is left out, and ends nothing: ${name}`, async () => {
    await using bed = openBed()
    const chunks = `2\r\nhi\r\n0\r\n${name}: x\r\nX-Sum: 1\r\n\r\n`
    await using answers = await openByHand(bed, async (link) => {
      await readRequest(link)
      void link.write(Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`))
    })
    using client = await openHttp2Client(bed, await openPath(bed, answers))
    const answer = await client.send({ ':method': 'GET', ':path': '/' })
    assert.deepEqual(Object.entries(answer.trailers), [['x-sum', '1']])

    const received = Promise.withResolvers<unknown>()
    await using upstream = await listenHttp2(bed, (stream) => {
      stream.on('trailers', (trailers) => received.resolve(Object.entries(trailers)))
      stream.resume()
      stream.on('end', () => stream.respond({ ':status': 204 }, { endStream: true }))
    })
    bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using uploader = await openClient(bed, proxy)
    const lines = ['Transfer-Encoding: chunked', `Trailer: ${name}, X-Sum`]
    assert.equal((await uploader.send(request('PUT /', lines, chunks)))?.head.status, 204)
    assert.deepEqual(await received.promise, [['x-sum', '1']])
  })
}

for (const upstreamProtocol of ['h2', 'http/1.1'] as const) {
  test(`interim answers pass before the final one of an upstream that speaks ${upstreamProtocol}`, async () => {
    await using bed = openBed()
    await using upstream =
      upstreamProtocol === 'h2'
        ? await listenHttp2(bed, (stream) => {
            stream.additionalHeaders({ ':status': 103, link: '</a>' })
            stream.respond({ ':status': 200 })
            stream.end('done')
          })
        : await openByHand(bed, async (link) => {
            await readRequest(link)
            void link.write(Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'))
            void link.write(Buffer.from(response('done')))
          })
    const proxy = await openPath(bed, upstream)
    using client = await openHttp2Client(bed, proxy)
    const answer = await client.send({ ':method': 'GET', ':path': '/' })
    assert.deepEqual(answer.interims, [103])
    assert.equal(`${answer.status} ${answer.body}`, '200 done')
  })
}

test('an expectation over HTTP/2 is met where the body is held', async () => {
  await using bed = openBed()
  await using upstream = await openEcho(bed, 'h2')
  const proxy = await openPath(bed, upstream)
  using client = await openHttp2Client(bed, proxy)
  const stream = client.start({ ':method': 'PUT', ':path': '/', 'content-length': 5, expect: '100-continue' })
  stream.once('continue', () => stream.end('hello'))
  const seen = JSON.parse((await readAnswer(stream)).body) as Seen
  assert.equal(`${seen.body} ${seen.headers['expect']}`, 'hello undefined')
})

for (const upstreamProtocol of ['h2', 'http/1.1'] as const) {
  test(`an answer before the end of the body arrives from an upstream that speaks ${upstreamProtocol}`, async () => {
    await using bed = openBed()
    await using upstream =
      upstreamProtocol === 'h2'
        ? await listenHttp2(bed, (stream) => {
            stream.respond({ ':status': 403 })
            stream.end('early')
          })
        : await openByHand(bed, async (link) => {
            await readRequestHead(link)
            void link.write(Buffer.from(response('early', 'HTTP/1.1 403 Forbidden')))
          })
    bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using client = await openHttp2Client(bed, proxy)
    const stream = client.start({ ':method': 'PUT', ':path': '/' })
    stream.write('the beginning')
    const answer = await readAnswer(stream)
    assert.equal(`${answer.status} ${answer.body}`, '403 early')
    stream.close()
    assert.equal((await client.send({ ':method': 'GET', ':path': '/' })).status, 403)
  })

  test(`a response that breaks off at an upstream that speaks ${upstreamProtocol} breaks off at the client`, async () => {
    await using bed = openBed()
    await using upstream =
      upstreamProtocol === 'h2'
        ? await listenHttp2(bed, (stream) => {
            stream.respond({ ':status': 200 })
            stream.write('half', () => stream.destroy(new Error('broken')))
          })
        : await openByHand(bed, async (link) => {
            await readRequest(link)
            void link.write(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'))
            link.end()
          })
    const proxy = await openPath(bed, upstream)
    using client = await openHttp2Client(bed, proxy)
    const stream = client.start({ ':method': 'GET', ':path': '/' })
    await assert.rejects(readAnswer(stream), /INTERNAL_ERROR/)
    const [end] = await bed.audit.untilEnds(1)
    assert.equal(end!.status, 200)
    assert(end!.reason)
  })
}

for (const upstreamProtocol of ['h2', 'http/1.1'] as const) {
  test(`a body that its client gives up is not complete at an upstream that speaks ${upstreamProtocol}`, async () => {
    await using bed = openBed()
    const begun = Promise.withResolvers<void>()
    const heard = Promise.withResolvers<string>()
    await using upstream =
      upstreamProtocol === 'h2'
        ? await listenHttp2(bed, (stream) => {
            stream.once('data', () => begun.resolve())
            stream.once('aborted', () => heard.resolve('aborted'))
            stream.once('end', () => heard.resolve('complete'))
          })
        : await openByHand(bed, async (link) => {
            await readRequestHead(link)
            while (!link.held.includes('the beginning')) await link.fill()
            begun.resolve()
            while (await link.fill());
            heard.resolve(link.held.includes('0\r\n\r\n') ? 'complete' : 'aborted')
          })
    bed.plane.apply(scopeOf(upstream.port, { service: streaming }))
    const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    using client = await openHttp2Client(bed, proxy)
    const stream = client.start({ ':method': 'PUT', ':path': '/' })
    stream.write('the beginning')
    await begun.promise
    stream.destroy(new Error('changed my mind'))
    assert.equal(await heard.promise, 'aborted')
  })
}

test('a refusal is told over HTTP/2 as it is over HTTP/1.1', async () => {
  await using bed = openBed()
  bed.plane.apply(scopeOf(443, { credentials: [] }))
  const proxy = await bed.listen({ host, port: 443 })
  using client = await openHttp2Client(bed, proxy)
  const answer = await client.send({ ':method': 'GET', ':path': '/', accept: 'application/json' })
  assert.equal(answer.status, 503)
  assert.equal(answer.headers['x-tideway-error'], 'CREDENTIAL_UNAVAILABLE')
  assert.match(answer.body, /there is no credential yet/)
})
