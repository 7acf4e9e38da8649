import assert from 'node:assert/strict'
import { createHmac, hash } from 'node:crypto'
import { once } from 'node:events'
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { Sha256 } from '@aws-crypto/sha256-js'
import {
  StartStreamTranscriptionCommand,
  TranscribeStreamingClient,
} from '@aws-sdk/client-transcribe-streaming'
import { HttpRequest } from '@smithy/protocol-http'
import { SignatureV4 } from '@smithy/signature-v4'
import { openTestClock } from '#base/clock'
import { formatEventHeaders, formatEventMessage, openEventStreamParser } from '#wire/event-stream'
import { Counts } from './bounds.ts'
import { openEventResigner } from './event-resigner.ts'
import {
  credential,
  host,
  listenTls,
  openBed,
  scopeOf,
  secretText,
  serverIdentity,
  tokenText,
  type Bed,
} from './fixture.ts'
import { openHttp2Client } from './http2-talk.ts'
import { answering, openClient, request, response } from './talk.ts'

const scope = { service: 'transcribe', region: 'us-east-1' }
const nothing = Buffer.alloc(0)
const seedSignature = 'ab'.repeat(32)

function text(name: string, value: string): Buffer {
  return formatEventHeaders([{ name, type: 7, value: Buffer.from(value) }])
}

function audio(payload: string): Buffer {
  const headers = [text(':message-type', 'event'), text(':event-type', 'AudioEvent')]
  return formatEventMessage(Buffer.concat(headers), Buffer.from(payload))
}

/** As a client sends a message that it signed with keys of its own. */
function enveloped(payload: Buffer): Buffer {
  const headers = formatEventHeaders([
    { name: ':date', type: 8, value: Buffer.alloc(8) },
    { name: ':chunk-signature', type: 6, value: Buffer.alloc(32) },
  ])
  return formatEventMessage(headers, payload)
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** Verifies a stream from the specification alone, and answers what the messages wrap. */
function verified(stream: Buffer, seed: string): Buffer[] {
  let previous = seed
  return openEventStreamParser({ maxMessageBytes: 1e6 })
    .push(stream)
    .map(({ headers, payload }) => {
      assert.deepEqual(
        headers.map(({ name, type }) => [name, type]),
        [
          [':date', 8],
          [':chunk-signature', 6],
        ],
      )
      const date = headers[0]!.value
      const stamp = new Date(Number(date.readBigInt64BE())).toISOString().replace(/[-:]|\.\d+/g, '')
      const day = stamp.slice(0, 8)
      const nonSignatureHeaders = Buffer.concat([Buffer.from('\x05:date\x08', 'latin1'), date])
      const toSign = [
        'AWS4-HMAC-SHA256-PAYLOAD',
        stamp,
        `${day}/${scope.region}/${scope.service}/aws4_request`,
        previous,
        hash('sha256', nonSignatureHeaders),
        hash('sha256', payload),
      ].join('\n')
      const key = [day, scope.region, scope.service, 'aws4_request'].reduce<string | Buffer>(
        hmac,
        `AWS4${secretText}`,
      )
      previous = headers[1]!.value.toString('hex')
      assert.equal(previous, hmac(key, toSign).toString('hex'))
      return payload
    })
}

function openResigner({ limit = 1000, total = 1e6 } = {}) {
  const clock = openTestClock(Date.parse('2026-01-01T23:59:59Z'))
  const { credential: aws } = credential()
  const budget = new Counts({ maxPerKey: total }).budgetOf('one')
  const seed = { credential: aws, scope, at: clock.now(), signature: seedSignature }
  return { clock, budget, resigner: openEventResigner(seed, { limit, budget, clock }) }
}

test('bare messages are wrapped and signed, over midnight too, and an empty one ends the stream', async () => {
  const { clock, resigner } = openResigner()
  const messages = ['one', 'two', 'three'].map(audio)
  const sent: Buffer[] = []
  for (const message of messages) {
    sent.push(...resigner.write(message))
    await clock.advance(1000)
  }
  assert.equal(sent.length, 3, 'each leaves as soon as it is whole')
  sent.push(...resigner.end())
  assert.deepEqual(verified(Buffer.concat(sent), seedSignature), [...messages, nothing])
})

test('messages that the client signed are unwrapped first, and its end is the end', () => {
  const { resigner } = openResigner()
  const messages = ['one', 'two'].map(audio)
  const stream = Buffer.concat([...messages, nothing].map(enveloped))
  const sent: Buffer[] = []
  for (let at = 0; at < stream.length; at += 10) sent.push(...resigner.write(stream.subarray(at, at + 10)))
  assert.deepEqual(resigner.end(), [])
  assert.deepEqual(verified(Buffer.concat(sent), seedSignature), [...messages, nothing])
})

test('what breaks off, goes on behind its end, or is too large is refused', () => {
  const cut = openResigner().resigner
  cut.write(audio('x').subarray(0, 20))
  assert.throws(() => cut.end(), { code: 'WIRE_MALFORMED', message: /ends within a message/ })
  const behind = openResigner().resigner
  behind.write(enveloped(nothing))
  assert.throws(() => behind.write(audio('x')), { code: 'WIRE_MALFORMED', message: /behind its end/ })
  assert.throws(() => openResigner().resigner.write(audio('x'.repeat(1000))), { code: 'WIRE_TOO_LARGE' })
})

test('unfinished messages count against what the daemon may hold, until they are sent or given up', () => {
  const { budget, resigner } = openResigner({ total: 100 })
  const message = audio('x'.repeat(200))
  resigner.write(message.subarray(0, 90))
  assert(!budget.take(20))
  resigner.write(message.subarray(90))
  assert(budget.take(100))
  budget.give(100)
  assert.throws(() => resigner.write(message.subarray(0, 101)), { code: 'BUFFERS_EXHAUSTED' })
  resigner.close()
  assert(budget.take(100))
})

/** What the AWS SDK would have signed for this head. */
async function authorizationFor(headers: IncomingHttpHeaders): Promise<string | undefined> {
  const [, names = ''] = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? []
  const signed = names.split(';').filter((name) => name !== 'x-amz-date' && name !== 'x-amz-security-token')
  const signer = new SignatureV4({
    ...scope,
    sha256: Sha256,
    credentials: { accessKeyId: 'ASIAFIRST', secretAccessKey: secretText, sessionToken: tokenText },
  })
  const date = String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5')
  const fields: IncomingHttpHeaders = { ...headers, host: headers[':authority'] }
  const again = await signer.sign(
    new HttpRequest({
      method: 'POST',
      hostname: host,
      path: headers[':path'] ?? '',
      headers: Object.fromEntries(signed.map((name) => [name, String(fields[name])])),
    }),
    { signingDate: new Date(date) },
  )
  return again.headers['authorization']
}

/** Answers each stream with one transcript of what it verified, as soon as the first message has come. */
async function listenTranscribe(bed: Bed) {
  const server = createSecureServer(serverIdentity(host, { authority: bed.upstreamCa }))
  const seen: { authorized: boolean; payloads: string[] }[] = []
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const serve = async () => {
      const expected = await authorizationFor(headers)
      const parts: Buffer[] = []
      stream.respond({ ':status': 200, 'content-type': 'application/vnd.amazon.eventstream' })
      for await (const part of stream) {
        if (parts.length === 0) stream.write(transcript('heard'))
        parts.push(part as Buffer)
      }
      const seed = headers.authorization?.split('Signature=')[1] ?? ''
      const payloads = verified(Buffer.concat(parts), seed).map((inner) =>
        openEventStreamParser({ maxMessageBytes: 1e6 })
          .push(inner)
          .map(({ payload }) => payload.toString())
          .join(),
      )
      seen.push({ authorized: expected === headers.authorization, payloads })
      stream.end()
    }
    serve().catch((error: Error) => stream.destroy(error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

function transcript(word: string): Buffer {
  const headers = [
    text(':message-type', 'event'),
    text(':event-type', 'TranscriptEvent'),
    text(':content-type', 'application/json'),
  ]
  const payload = JSON.stringify({ Transcript: { Results: [{ ResultId: word }] } })
  return formatEventMessage(Buffer.concat(headers), Buffer.from(payload))
}

test('the Transcribe client of the AWS SDK streams both ways with made-up keys', async () => {
  await using bed = openBed()
  await using upstream = await listenTranscribe(bed)
  bed.plane.apply(scopeOf(upstream.port, { service: { signing: scope } }))
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const client = new TranscribeStreamingClient({
    region: 'us-east-1',
    endpoint: `https://${host}:${upstream.port}`,
    maxAttempts: 1,
    credentials: { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret' },
    requestHandler: {
      nodeHttp2ConnectOptions: {
        createConnection: () =>
          connect({
            host: '127.0.0.1',
            port: proxy.port,
            servername: host,
            ca: bed.interceptCaPem,
            ALPNProtocols: ['h2'],
          }),
      },
    },
  })
  const heard = Promise.withResolvers<void>()
  async function* speak() {
    yield { AudioEvent: { AudioChunk: Buffer.from('first') } }
    // The answer comes while we are speaking.
    await heard.promise
    yield { AudioEvent: { AudioChunk: Buffer.from('second') } }
  }
  const { TranscriptResultStream } = await client.send(
    new StartStreamTranscriptionCommand({
      LanguageCode: 'en-GB',
      MediaEncoding: 'pcm',
      MediaSampleRateHertz: 16_000,
      AudioStream: speak(),
    }),
  )
  const results: (string | undefined)[] = []
  for await (const { TranscriptEvent } of TranscriptResultStream!) {
    heard.resolve()
    results.push(TranscriptEvent?.Transcript?.Results?.[0]?.ResultId)
  }
  assert.deepEqual(results, ['heard'])
  assert.deepEqual(upstream.seen, [{ authorized: true, payloads: ['first', 'second', ''] }])
  client.destroy()
})

test('a stream whose length was announced leaves in chunks, as signatures make it longer', async () => {
  await using bed = openBed()
  const seen: string[] = []
  const wire = answering(({ head, body }) => {
    const valueOf = (name: string) => head.headers.find((field) => field.name === name)?.value
    const framing = [valueOf('content-length'), valueOf('transfer-encoding')].join()
    const payloads = verified(body, valueOf('authorization')!.split('Signature=')[1]!)
    seen.push(`${framing}: ${payloads.map(String).join()}`)
    return response()
  })
  await using upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), wire)
  bed.plane.apply(scopeOf(upstream.port, { service: { signing: scope } }))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  for (const messages of [[], ['one'], ['one', 'two']]) {
    const stream = Buffer.concat(messages.map((text) => enveloped(Buffer.from(text))))
    const lines = [
      'Content-Type: application/vnd.amazon.eventstream',
      `Content-Length: ${stream.length}`,
      'x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-EVENTS',
    ]
    const answer = await client.send(Buffer.concat([request('POST /', lines), stream]), 'POST')
    assert.equal(answer?.head.status, 200)
  }
  assert.deepEqual(seen, [',chunked: ', ',chunked: one,', ',chunked: one,two,'])
})

test('over HTTP/2 an announced length is left out likewise', async () => {
  await using bed = openBed()
  await using upstream = await listenTranscribe(bed)
  bed.plane.apply(scopeOf(upstream.port, { service: { signing: scope } }))
  using client = await openHttp2Client(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  const body = Buffer.concat(['one', 'two'].map(audio))
  const head = { 'content-type': 'application/vnd.amazon.eventstream', 'content-length': body.length }
  const { status } = await client.send({ ':method': 'POST', ...head }, body)
  assert.equal(status, 200)
  assert.deepEqual(upstream.seen, [{ authorized: true, payloads: ['one', 'two', ''] }])
})
