import assert from 'node:assert/strict'
import { test } from 'node:test'
import { host, listenTls, openBed, scopeOf, serverIdentity, type Bed, type Listener } from './fixture.ts'
import { Link } from './link.ts'
import { openClient, readRequest, readResponse, request, response, type Client } from './talk.ts'

/**
 * Framing tricks of an identified workload, through the whole data plane: two parties that read one stream of bytes
 * differently let a second request slip through under the signature of the first. Upstream tells what came.
 */

interface Witness extends AsyncDisposable {
  /** Every byte that came decrypted. */
  text(): string
  /** Each request that came whole: method, target and body. */
  readonly whole: string[]
  readonly listener: Listener
}

/** Answers every whole request, like a server that knows no trick. */
async function openWitness(bed: Bed, answer = response()): Promise<Witness> {
  const bytes: Buffer[] = []
  const whole: string[] = []
  const listener = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), (socket) => {
    socket.on('data', (chunk: Buffer) => bytes.push(chunk))
    const link = new Link(socket)
    const serve = async () => {
      for (let next = await readRequest(link); next; next = await readRequest(link)) {
        // A body that breaks off is no whole request: its end never comes.
        if (link.ended) return
        whole.push(`${next.head.method} ${next.head.target} ${next.body.toString()}`)
        void link.write(Buffer.from(answer))
      }
    }
    serve().catch(() => socket.destroy())
  })
  return {
    text: () => Buffer.concat(bytes).toString('latin1'),
    whole,
    listener,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}

async function openWay(bed: Bed, witness: Witness): Promise<Client> {
  const { port } = witness.listener
  bed.plane.apply(scopeOf(port))
  return openClient(bed, await bed.listen({ address: '127.0.0.1', port }))
}

/** What one client that writes `bytes` brings about. */
async function attack(bytes: Buffer) {
  await using bed = openBed()
  await using witness = await openWitness(bed)
  using client = await openWay(bed, witness)
  const answer = await client.send(bytes)
  await client.ended()
  const decisions = bed.audit.starts.map(({ decision }) => decision)
  return { status: answer?.head.status, text: witness.text(), whole: witness.whole, decisions }
}

const smuggled = request('GET /smuggled').toString()
const behind = `0\r\n\r\n${smuggled}`
const length = (bytes: number) => `Content-Length: ${bytes}`
const chunked = 'Transfer-Encoding: chunked'

const heads: [name: string, lines: readonly string[]][] = [
  ['CL.TE', [length(behind.length), chunked]],
  ['TE.CL', [chunked, length(4)]],
  ['TE.TE, the second unknown', [chunked, 'Transfer-Encoding: cow']],
  ['TE.TE, the first unknown', ['Transfer-Encoding: cow', chunked]],
  ['TE.TE, the same twice', [chunked, chunked]],
  ['a coding before chunked', ['Transfer-Encoding: identity, chunked']],
  ['a coding that only looks like chunked', [length(4), 'Transfer-Encoding: xchunked']],
  ['a coding behind a vertical tab', [length(4), 'Transfer-Encoding: \x0bchunked']],
  ['a coding in quotes', [length(4), 'Transfer-Encoding: "chunked"']],
  ['white space before the colon', [length(4), 'Transfer-Encoding : chunked']],
  ['a tab before the colon', [length(4), 'Transfer-Encoding\t: chunked']],
  ['a folded header', [length(4), 'Transfer-Encoding:', ' chunked']],
  ['a folded header that hides a length', ['X-Fold: a', ` ${length(behind.length)}`, length(0)]],
  ['white space before the first header', [` ${chunked}`]],
  ['a coding behind a bare LF', [length(4), 'X-Thing: a\nTransfer-Encoding: chunked']],
  ['a coding behind a bare CR', [length(4), 'X-Thing: a\rTransfer-Encoding: chunked']],
  ['a coding behind a NUL', [length(4), 'X-Thing: a\0Transfer-Encoding: chunked']],
  ['two lengths', [length(0), length(behind.length)]],
  ['the same length twice', [length(4), length(4)]],
  ['a list of lengths', ['Content-Length: 4, 4']],
  ['a signed length', ['Content-Length: +4']],
  ['a hexadecimal length', ['Content-Length: 0x4']],
  ['a length beyond every integer', ['Content-Length: 18446744073709551620']],
  ['a second Host', [`Host: ${host}`, length(4)]],
  ['a second Host behind a bare LF', [`X-Thing: a\nHost: evil.example`, length(4)]],
  ['framing nominated by Connection', [length(4), 'Connection: content-length']],
  ['a signed header nominated by Connection', [length(4), 'Content-Type: a/b', 'Connection: content-type']],
  ['a coding nominated by Connection', [length(4), 'Content-Encoding: gzip', 'Connection: content-encoding']],
  ['the signature nominated by Connection', [length(4), 'Connection: authorization, x-amz-date']],
]

for (const [name, lines] of heads) {
  test(`${name}: refused, and nothing is sent`, async () => {
    const { status, text, whole, decisions } = await attack(request('POST /outer', lines, behind))
    assert(status !== undefined && status >= 400 && status < 502, String(status))
    assert.deepEqual({ text, whole, decisions }, { text: '', whole: [], decisions: ['refused'] })
  })
}

const lineTricks: [name: string, bytes: string][] = [
  ['line ends without CR', `POST /outer HTTP/1.1\nHost: ${host}\n\n${smuggled}`],
  ['an empty line before the request', `\r\n${smuggled}`],
  ['two spaces in the request line', `GET  /outer HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ['a second request in the target', `GET /outer\r\n${smuggled}`],
  ['a version of its own', `GET /outer HTTP/1.9\r\nHost: ${host}\r\n\r\n`],
  ['no version', `GET /outer\r\n\r\n`],
  ['a CR in the target', `GET /outer\rGET /smuggled HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
]

for (const [name, bytes] of lineTricks) {
  test(`${name}: refused, and nothing is sent`, async () => {
    const { status, text, whole } = await attack(Buffer.from(bytes, 'latin1'))
    assert(status !== undefined && status >= 400 && status <= 505, String(status))
    assert.deepEqual({ text, whole }, { text: '', whole: [] })
  })
}

const bodies: [name: string, body: string][] = [
  ['a chunk size beyond 2^64', `10000000000000005\r\nhello\r\n${behind}`],
  ['a chunk size beyond 2^53', `20000000000005\r\nhello\r\n${behind}`],
  ['a chunk size with 0x', `0x5\r\nhello\r\n${behind}`],
  ['a signed chunk size', `+5\r\nhello\r\n${behind}`],
  ['a negative chunk size', `-5\r\nhello\r\n${behind}`],
  ['a chunk size behind a space', ` 5\r\nhello\r\n${behind}`],
  ['a chunk size before a space', `5 \r\nhello\r\n${behind}`],
  ['an empty chunk size', `\r\nhello\r\n${behind}`],
  ['a chunk longer than its size', `4\r\nhello\r\n${behind}`],
  ['a chunk that ends with a bare LF', `5\r\nhello\n${behind}`],
  ['a chunk size that ends with a bare LF', `5\nhello\r\n${behind}`],
  ['a bare LF in a chunk extension', `5;a\n\r\nhello\r\n${behind}`],
  ['a bare CR in a chunk extension', `5;a\rb\r\nhello\r\n${behind}`],
  ['chunk extensions without end', `5;${'a'.repeat(64 * 1024)}\r\nhello\r\n${behind}`],
  ['a length in the trailers', `5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n${smuggled}`],
  ['a Host in the trailers', `5\r\nhello\r\n0\r\nHost: evil.example\r\n\r\n${smuggled}`],
  ['an Authorization in the trailers', `5\r\nhello\r\n0\r\nAuthorization: x\r\n\r\n${smuggled}`],
  ['a token in the trailers', `5\r\nhello\r\n0\r\nX-Amz-Security-Token: x\r\n\r\n${smuggled}`],
  ['a date in the trailers', `5\r\nhello\r\n0\r\nX-Amz-Date: x\r\n\r\n${smuggled}`],
  ['an ACL in the trailers', `5\r\nhello\r\n0\r\nx-amz-acl: public-read\r\n\r\n${smuggled}`],
  ['a key in the trailers', `5\r\nhello\r\n0\r\nX-Api-Key: x\r\n\r\n${smuggled}`],
  ['a folded trailer', `5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n${smuggled}`],
  ['trailers without end', `5\r\nhello\r\n0\r\n${'a: b\r\n'.repeat(10_000)}\r\n${smuggled}`],
]

for (const [name, body] of bodies) {
  test(`${name}: upstream gets no whole request, whether the body is held or streams`, async () => {
    for (const lines of [[], ['X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']]) {
      const { status, text, whole } = await attack(request('POST /outer', [chunked, ...lines], body))
      assert(status === undefined || status === 400 || status === 502, String(status))
      assert.deepEqual(whole, [])
      assert.doesNotMatch(text, /smuggled/)
    }
  })
}

test('chunks with extensions that are well-formed are one request, and what follows is the next', async () => {
  for (const lines of [[], ['X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']]) {
    await using bed = openBed()
    await using witness = await openWitness(bed)
    using client = await openWay(bed, witness)
    const body = '3;a=b\r\nhel\r\n2;c="d;\\"e"\r\nlo\r\n0\r\nX-Trailer: t\r\n\r\n'
    const first = await client.send(
      Buffer.concat([request('POST /outer', [chunked, ...lines], body), request('GET /next')]),
    )
    assert.equal(first?.head.status, 200)
    assert.equal((await readResponse(client.link))?.head.status, 200)
    assert.deepEqual(witness.whole, ['POST /outer hello', 'GET /next '])
  }
})

test('behind a request that is refused for its framing no other is read', async () => {
  await using bed = openBed()
  await using witness = await openWitness(bed)
  using client = await openWay(bed, witness)
  const bad = request('POST /bad', [length(4), chunked], behind)
  const first = await client.send(Buffer.concat([request('GET /first'), bad, request('GET /last')]))
  assert.equal(first?.head.status, 200)
  assert.equal((await readResponse(client.link))?.head.status, 400)
  await client.ended()
  assert.deepEqual(witness.whole, ['GET /first '])
})

test('a head that comes a byte at a time is one request', async () => {
  await using bed = openBed()
  await using witness = await openWitness(bed)
  using client = await openWay(bed, witness)
  for (const byte of request('POST /slow', [length(5)], 'hello')) {
    await new Promise((resolve) => client.link.socket.write(Buffer.of(byte), resolve))
  }
  assert.equal((await readResponse(client.link))?.head.status, 200)
  assert.deepEqual(witness.whole, ['POST /slow hello'])
})

const floods: [name: string, bytes: Buffer][] = [
  ['one header without end', request('GET /', [`X-Long: ${'a'.repeat(1 << 20)}`])],
  ['headers without end', request('GET /', Array(20_000).fill('X: y'))],
  ['a target without end', request(`GET /${'a'.repeat(1 << 20)}`)],
]

for (const [name, bytes] of floods) {
  test(`${name}: refused before its end, and nothing is sent`, async () => {
    const { status, text } = await attack(bytes)
    assert.equal(status, 431)
    assert.equal(text, '')
  })
}

test('a query of more parameters than any service knows is refused, with the reason', async () => {
  for (const separator of ['&', ';']) {
    await using bed = openBed()
    await using witness = await openWitness(bed)
    using client = await openWay(bed, witness)
    const answer = await client.send(request(`GET /?${`%${separator}`.repeat(31_000)}`))
    assert.equal(answer?.head.status, 414)
    assert.match(String(answer.body), /more than 1000 parameters/)
    const most = Array(1_000).fill('a%20b').join(separator)
    assert.equal((await client.send(request(`GET /?${most}`)))?.head.status, 200)
    assert.equal(witness.whole.length, 1)
  }
})

const ambiguous: [name: string, answer: string][] = [
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
  ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok'],
  ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\nok'],
  [
    'a length nominated by Connection',
    'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok',
  ],
  [
    'chunks nominated by Connection',
    'HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['white space before a colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
  ['a folded header', 'HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\nContent-Length: 2\r\n\r\nok'],
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(1 << 20)}`],
  ['interim responses without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(10_000)],
]

for (const [name, answer] of ambiguous) {
  test(`a response with ${name} is not passed on, and its connection is not used again`, async () => {
    await using bed = openBed()
    await using witness = await openWitness(bed, answer)
    using client = await openWay(bed, witness)
    let last = await client.send(request('GET /'))
    while (last?.head.status === 103) last = await readResponse(client.link)
    assert.equal(last?.head.status, 502)
    assert.equal(bed.plane.stats().idleUpstreams, 0)
  })
}

test('a second response that nobody asked for is nobody’s answer', async () => {
  await using bed = openBed()
  await using witness = await openWitness(bed, response('mine') + response('poison'))
  for (const path of ['/first', '/second']) {
    using client = await openWay(bed, witness)
    assert.equal((await client.send(request(`GET ${path}`)))?.body.toString(), 'mine')
  }
  assert.equal(witness.listener.sockets.length, 2, 'each on a connection of its own')
})
