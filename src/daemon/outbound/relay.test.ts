import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  host,
  listenTls,
  memoryAudit,
  openBed,
  scopeOf,
  serverIdentity,
  type Bed,
  type Listener,
} from './fixture.ts'
import type { Socket } from 'node:net'
import {
  answering,
  openClient,
  readRequest,
  readRequestHead,
  readResponse,
  request,
  response,
  serve,
} from './talk.ts'
import type { ScopeParts } from './fixture.ts'
import { defaultLimits } from './limits.ts'

async function openPath(bed: Bed, onSocket: (socket: Socket) => void, parts: ScopeParts = {}) {
  const upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), onSocket)
  bed.plane.apply(scopeOf(upstream.port, parts))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  return {
    upstream,
    proxy,
    client: () => openClient(bed, proxy),
    [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose](),
  }
}

const header = (head: { headers: readonly { name: string; value: string }[] }, name: string) =>
  head.headers.find((item) => item.name === name)?.value

const sts = { service: { signing: { service: 'bedrock', region: 'us-east-1' } } } satisfies ScopeParts

test('a body that must be hashed is held, hashed and sent with its length', async () => {
  await using bed = openBed()
  const seen: string[] = []
  await using path = await openPath(
    bed,
    answering(({ head, body }) => {
      seen.push(`${header(head, 'content-length')} ${header(head, 'transfer-encoding')} ${body.toString()}`)
      return response()
    }),
    sts,
  )
  using client = await path.client()
  await client.send(request('POST /', ['Content-Length: 5'], 'hello'))
  await client.send(request('POST /', ['Transfer-Encoding: chunked'], '3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'))
  assert.deepEqual(seen, ['5 undefined hello', '5 undefined hello'])
})

test('a body whose hash the client declared is streamed under that hash', async () => {
  await using bed = openBed()
  const body = 'declared'
  const digest = createHash('sha256').update(body).digest('hex')
  let sent: string | undefined
  await using path = await openPath(
    bed,
    answering(({ head }) => {
      sent = header(head, 'x-amz-content-sha256')
      return response()
    }),
  )
  using client = await path.client()
  await client.send(
    request('PUT /key', [`Content-Length: ${body.length}`, `X-Amz-Content-Sha256: ${digest}`], body),
  )
  assert.equal(sent, digest)
})

test('a body too large to hold streams unsigned to S3 and is refused elsewhere', async () => {
  await using bed = openBed({ limits: { maxBufferedBody: 10 } })
  await using path = await openPath(
    bed,
    answering(({ head }) => response(header(head, 'x-amz-content-sha256'))),
  )
  const large = request('PUT /key', ['Content-Length: 11'], '0123456789a')
  using client = await path.client()
  assert.equal((await client.send(large))?.body.toString(), 'UNSIGNED-PAYLOAD')
  bed.plane.apply(scopeOf(path.upstream.port, sts))
  using other = await path.client()
  const refused = await other.send(large)
  assert.equal(refused?.head.status, 501)
  assert.match(refused.body.toString(), /exceeds 10 bytes.*x-amz-content-sha256/)
})

test('a chunked body over the bound is refused once it gets there', async () => {
  await using bed = openBed({ limits: { maxBufferedBody: 4 } })
  await using path = await openPath(
    bed,
    answering(() => response()),
    sts,
  )
  using client = await path.client()
  const answer = await client.send(
    request('POST /', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'),
  )
  assert.equal(answer?.head.status, 413)
  assert.match(answer.body.toString(), /exceeds 4 bytes.*x-amz-content-sha256/)
  await client.ended()
})

test('all held bodies together are bounded, and what was held is given back', async () => {
  await using bed = openBed({ limits: { maxBufferedTotal: 6 } })
  await using path = await openPath(
    bed,
    answering(() => response()),
    sts,
  )
  using slow = await path.client()
  void slow.link.write(request('POST /', ['Content-Length: 5'], 'hell'))
  using client = await path.client()
  const post = request('POST /', ['Content-Length: 5'], 'hello')
  // Refused while the slow client holds four bytes; bytes that were read before it began are seen by retrying.
  for (;;) {
    using attempt = await path.client()
    const answer = await attempt.send(post)
    if (answer?.head.status === 503) break
    assert.equal(answer?.head.status, 200)
  }
  assert.equal((await slow.send('o'))?.head.status, 200)
  assert.equal((await client.send(post))?.head.status, 200)
})

test('an expectation is met by us where the body is held, and by upstream where it streams', async () => {
  await using bed = openBed()
  const expectations: (string | undefined)[] = []
  await using path = await openPath(
    bed,
    serve(async (link) => {
      for (let head = await readRequestHead(link); head; head = await readRequestHead(link)) {
        expectations.push(header(head, 'expect'))
        if (head.expectContinue) void link.write(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'))
        while (link.held.length < 5) await link.fill()
        link.take(5)
        void link.write(Buffer.from(response()))
      }
    }),
  )
  const digest = createHash('sha256').update('hello').digest('hex')
  for (const lines of [[], [`X-Amz-Content-Sha256: ${digest}`]]) {
    using client = await path.client()
    const interim = await client.send(
      request('PUT /key', ['Expect: 100-continue', 'Content-Length: 5', ...lines]),
    )
    assert.equal(interim?.head.status, 100)
    assert.equal((await client.send('hello'))?.head.status, 200)
  }
  assert.deepEqual(expectations, [undefined, '100-continue'])
})

test('an early final answer to an expectation reaches the client, and the connection ends', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      await readRequestHead(link)
      void link.write(Buffer.from(response('no', 'HTTP/1.1 403 Forbidden')))
    }),
  )
  using client = await path.client()
  const lines = ['Expect: 100-continue', 'Content-Length: 5', 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']
  const answer = await client.send(request('PUT /key', lines))
  assert.equal(answer?.head.status, 403)
  await client.ended()
})

test('an upstream that answers before the body ends is relayed at once and never pooled', async () => {
  await using bed = openBed()
  let requests = 0
  await using path = await openPath(
    bed,
    serve(async (link) => {
      for (let head = await readRequestHead(link); head; head = await readRequestHead(link)) {
        requests += 1
        void link.write(Buffer.from(response('no', 'HTTP/1.1 403 Forbidden')))
        if (head.framing.kind !== 'none') await new Promise(() => {})
      }
    }),
  )
  using client = await path.client()
  const large = Buffer.alloc(8 * 1024 * 1024, 'x')
  const head = request('PUT /key', [
    `Content-Length: ${large.length}`,
    'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD',
  ])
  void client.link.write(head)
  void client.link.write(large.subarray(0, large.length / 2))
  assert.equal((await readResponse(client.link))?.head.status, 403)
  assert.equal(bed.plane.stats().idleUpstreams, 0)
  void client.link.write(large.subarray(large.length / 2))
  await client.ended()
  using next = await path.client()
  assert.equal((await next.send(request('GET /')))?.head.status, 403)
  assert.equal(requests, 2)
  assert.equal(path.upstream.sockets.length, 2)
})

test('an upstream that answers before a held body has left is not asked again on that connection', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      const head = await readRequestHead(link)
      if (head?.framing.kind !== 'none') link.socket.pause()
      void link.write(Buffer.from(response('no', 'HTTP/1.1 403 Forbidden')))
    }),
  )
  using client = await path.client()
  const body = 'x'.repeat(defaultLimits.maxBufferedBody)
  const put = request('PUT /key', [`Content-Length: ${body.length}`], body)
  assert.equal((await client.send(put))?.head.status, 403)
  assert.equal(bed.plane.stats().idleUpstreams, 0)
  assert.equal((await client.send(request('GET /')))?.head.status, 403)
  assert.equal(path.upstream.sockets.length, 2)
})

test('large bodies pass both ways unchanged, whoever is slower', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      const received = await readRequest(link)
      const chunk = received!.body
      await link.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${chunk.length}\r\n\r\n`))
      for (let at = 0; at < chunk.length; at += 100_000) await link.write(chunk.subarray(at, at + 100_000))
    }),
  )
  const payload = randomBytes(3 * 1024 * 1024)
  using client = await path.client()
  const lines = [`Content-Length: ${payload.length}`, 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']
  void client.link.write(request('PUT /key', lines))
  for (let at = 0; at < payload.length; at += 50_000)
    await client.link.write(payload.subarray(at, at + 50_000))
  const answer = await readResponse(client.link)
  assert(answer?.body.equals(payload))
  const [end] = await bed.audit.untilEnds(1)
  assert(end!.requestBytes > payload.length && end!.responseBytes > payload.length)
})

const responses: [name: string, method: string, text: string, body: string][] = [
  ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n', ''],
  ['204', 'DELETE', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
  ['304', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', ''],
  [
    'chunks with a trailer',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n',
    'ok',
  ],
  ['interim responses', 'GET', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${response()}`, 'ok'],
]

for (const [name, method, text, body] of responses) {
  test(`a response with ${name} ends where it should, and the connections go on`, async () => {
    await using bed = openBed()
    await using path = await openPath(
      bed,
      answering(() => text),
    )
    using client = await path.client()
    for (let round = 0; round < 2; round += 1) {
      let answer = await client.send(request(`${method} /key`), method)
      while (answer && answer.head.status < 200) answer = await readResponse(client.link, method)
      assert.equal(answer?.body.toString(), body)
    }
    assert.equal(path.upstream.sockets.length, 1)
  })
}

test('a response until close is relayed to its end and says so', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      await readRequestHead(link)
      void link.write(Buffer.from('HTTP/1.1 200 OK\r\n\r\nall of it'))
      link.end()
    }),
  )
  using client = await path.client()
  const answer = await client.send(request('GET /'))
  assert.equal(header(answer!.head, 'connection'), 'close')
  assert.equal(answer?.body.toString(), 'all of it')
})

test('a response that breaks off breaks the client, never looks whole', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      await readRequestHead(link)
      await link.write(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'))
      link.end()
    }),
  )
  using client = await path.client()
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.body.toString(), 'half')
  await client.ended()
  const [end] = await bed.audit.untilEnds(1)
  assert.match(end!.reason!, /before the end/)
})

test('an HTTP/1.0 client gets a chunked response as plain bytes until close', async () => {
  await using bed = openBed()
  const text = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'
  await using path = await openPath(
    bed,
    answering(() => text),
  )
  using client = await path.client()
  const answer = await client.send(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`)
  assert.equal(answer?.body.toString(), 'ok')
  assert.equal(header(answer.head, 'transfer-encoding'), undefined)
})

test('an ambiguous response is not passed on', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'),
  )
  using client = await path.client()
  assert.equal((await client.send(request('GET /')))?.head.status, 502)
})

test('a client that half-closes after its request still gets the response', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    answering(() => response('late')),
  )
  using client = await path.client()
  void client.link.write(request('GET /'))
  client.link.end()
  assert.equal((await readResponse(client.link))?.body.toString(), 'late')
  await client.ended()
})

test('a client that leaves during a response takes its upstream request along', async () => {
  await using bed = openBed()
  const gone = Promise.withResolvers<void>()
  await using path = await openPath(
    bed,
    serve(async (link) => {
      await readRequestHead(link)
      void link.write(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))
      while (!link.closed) await link.write(Buffer.alloc(100_000))
      gone.resolve()
    }),
  )
  using client = await path.client()
  void client.link.write(request('GET /'))
  await client.link.fill()
  client.link.destroy()
  await gone.promise
})

const refusals: [name: string, bytes: Buffer, parts: ScopeParts, status: number, text: RegExp][] = [
  [
    'no credential yet',
    request('GET /'),
    { credentials: [] },
    503,
    /there is no credential yet for binding app-aws from source aws/,
  ],
  [
    'a payload mode of another service',
    request('PUT /k', ['Content-Length: 0', 'X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-EVENTS']),
    {},
    501,
    /not one that s3 takes: declare the SHA-256/,
  ],
  [
    'a body in parts that might ask for credentials',
    request(
      'POST /',
      ['Content-Length: 9', 'X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER'],
      '0\r\n\r\nmore',
    ),
    {},
    501,
    /cannot be told from a call that returns credentials/,
  ],
  [
    'a call that returns credentials',
    request(
      'POST /',
      ['Content-Type: application/x-www-form-urlencoded', 'Content-Length: 21'],
      'Action=AssumeRole&x=y',
    ),
    { service: { signing: { service: 'sts', region: 'us-east-1' } } },
    403,
    /allowCredentialIssuance/,
  ],
  [
    'a capture level that is too weak',
    request('GET /'),
    { binding: { minimumCapture: 'process' } },
    403,
    /demands capture level process/,
  ],
]

for (const [name, bytes, parts, status, text] of refusals) {
  test(`${name}: the workload is told why, in its protocol, and nothing is sent`, async () => {
    await using bed = openBed()
    let requests = 0
    await using path = await openPath(
      bed,
      answering(() => {
        requests += 1
        return response()
      }),
      parts,
    )
    const proxy: Listener = name.startsWith('a capture')
      ? await bed.listen({ address: '127.0.0.1', port: path.upstream.port }, { level: 'user' })
      : path.proxy
    using client = await openClient(bed, proxy)
    const answer = await client.send(bytes)
    assert.equal(answer?.head.status, status)
    assert.match(answer.body.toString(), text)
    assert(header(answer.head, 'x-tideway-error'))
    assert.equal(requests, 0)
    assert.equal(bed.audit.starts[0]?.decision, 'refused')
  })
}

test('a client of a JSON protocol gets its refusal as JSON with type and message', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    answering(() => response()),
    { credentials: [] },
  )
  using client = await path.client()
  const answer = await client.send(request('GET /', ['Accept: application/json']))
  const { __type, message } = JSON.parse(answer!.body.toString()) as { __type: string; message: string }
  assert.equal(__type, 'CREDENTIAL_UNAVAILABLE')
  assert.match(message, /^tideway: /)
})

test('a call that returns credentials is signed where the binding allows it', async () => {
  await using bed = openBed()
  await using path = await openPath(
    bed,
    answering(() => response()),
    {
      service: { signing: { service: 'sts', region: 'us-east-1' } },
      binding: { allowCredentialIssuance: true },
    },
  )
  using client = await path.client()
  const form = ['Content-Type: application/x-www-form-urlencoded', 'Content-Length: 17']
  assert.equal((await client.send(request('POST /', form, 'Action=AssumeRole')))?.head.status, 200)
})

test('without its audit record no request leaves', async () => {
  const failing = { ...memoryAudit(), start: () => Promise.reject(new Error('disk full')) }
  await using bed = openBed({ audit: failing })
  let requests = 0
  await using path = await openPath(
    bed,
    answering(() => {
      requests += 1
      return response()
    }),
  )
  using client = await path.client()
  const answer = await client.send(request('GET /'))
  assert.equal(answer?.head.status, 503)
  assert.equal(header(answer.head, 'x-tideway-error'), 'AUDIT_UNAVAILABLE')
  assert.equal(requests, 0)
})

test('the audit record is there before the signed head is', async () => {
  await using bed = openBed()
  let recorded = 0
  await using path = await openPath(
    bed,
    answering(() => {
      recorded = bed.audit.starts.length
      return response()
    }),
  )
  using client = await path.client()
  await client.send(request('GET /bucket/key?secret=1'))
  assert.equal(recorded, 1)
  const [start] = bed.audit.starts
  assert.equal(start?.path, '/bucket/key')
  assert.equal(start.credentialId, 'ASIAFIRST')
  assert.equal(start.host, host)
  const [end] = await bed.audit.untilEnds(1)
  assert.equal(end!.status, 200)
})
