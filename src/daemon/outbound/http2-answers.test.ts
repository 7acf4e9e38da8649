import assert from 'node:assert/strict'
import { test } from 'node:test'
import { host, listenTls, openBed, scopeOf, serverIdentity, type Bed, type Listener } from './fixture.ts'
import {
  block,
  endHeaders,
  endStream,
  frame,
  openFrameReader,
  preface,
  type,
  type Field,
} from './http2-frames.ts'
import { openClient, readResponse, request } from './talk.ts'

/** What an upstream that speaks HTTP/2 answers, and no library would. The client speaks HTTP/1.1. */

/** Answers each request with the frames that `answer` makes for its stream. */
function listenRaw(bed: Bed, answer: (stream: number) => Buffer): Promise<Listener> {
  const identity = serverIdentity(host, { authority: bed.upstreamCa })
  return listenTls({ ...identity, ALPNProtocols: ['h2'] }, (socket) => {
    const read = openFrameReader()
    let unread = preface.length
    const acknowledge = 1
    socket.write(frame(type.settings, 0, 0))
    socket.once('data', () => socket.write(frame(type.settings, acknowledge, 0)))
    socket.on('data', (bytes: Buffer) => {
      const frames = read(bytes.subarray(unread))
      unread = Math.max(0, unread - bytes.length)
      for (const { kind, stream } of frames) if (kind === type.headers) socket.write(answer(stream))
    })
  })
}

async function ask(answer: (stream: number) => Buffer) {
  await using bed = openBed()
  await using upstream = await listenRaw(bed, answer)
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  let answered = await client.send(request('GET /'))
  while (answered?.head.status === 103) answered = await readResponse(client.link)
  const { head, body } = answered!
  const [end] = await bed.audit.untilEnds(1)
  return { status: head.status, names: head.headers.map(({ name }) => name), body: body.toString(), end }
}

const ok: Field = [':status', '200']
const head = (stream: number, fields: readonly Field[], flags = endHeaders) =>
  frame(type.headers, flags, stream, block(fields))
const data = (stream: number, text: string) => frame(type.data, endStream, stream, Buffer.from(text))
const answered = (fields: readonly Field[]) => (stream: number) =>
  Buffer.concat([head(stream, fields), data(stream, 'body')])

const refused: [name: string, answer: (stream: number) => Buffer][] = [
  ['no status', answered([['x', 'y']])],
  ['a status that is none', answered([[':status', '2 0']])],
  ['a status of four digits', answered([[':status', '2000']])],
  ['transfer-encoding', answered([ok, ['transfer-encoding', 'chunked']])],
  ['connection', answered([ok, ['connection', 'keep-alive']])],
  ['two lengths', answered([ok, ['content-length', '4'], ['content-length', '5']])],
  ['a length that is none', answered([ok, ['content-length', '+4']])],
  ['a switch of protocols', answered([[':status', '101']])],
  ['a pseudo-header of requests', answered([ok, [':path', '/']])],
  [
    'interim heads without end',
    (stream) => {
      const interims = Array.from({ length: 100 }, () => head(stream, [[':status', '103']]))
      return Buffer.concat([...interims, answered([ok])(stream)])
    },
  ],
  [
    'a head without end',
    (stream) =>
      Buffer.concat([
        head(stream, [ok], 0),
        ...Array.from({ length: 500 }, () =>
          frame(type.continuation, 0, stream, block([['x', 'y'.repeat(1000)]])),
        ),
      ]),
  ],
  [
    'a request that it pushes',
    (stream) =>
      frame(type.pushPromise, endHeaders, stream, Buffer.concat([Buffer.from([0, 0, 0, 2]), block([ok])])),
  ],
]

for (const [name, answer] of refused) {
  test(`an answer over HTTP/2 with ${name} is not passed on`, async () => {
    const { status, body, end } = await ask(answer)
    assert.equal(status, 502)
    assert.match(body, /^tideway: /)
    assert.equal(end!.status, 0)
  })
}

test('what would break out of a field of an answer is dropped with it', async () => {
  const split = answered([ok, ['x', 'a\r\nset-cookie: b'], ['y\r\nset-cookie', 'b'], ['z', 'kept']])
  const { status, names, body } = await ask(split)
  assert.equal(`${status} ${body}`, '200 body')
  assert.deepEqual(
    names.filter((name) => /^[xyz]|cookie/.test(name)),
    ['z'],
  )
})
