import assert from 'node:assert/strict'
import { createHash, createHmac, hash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openAwsChunkedParser } from '#wire/aws-chunked'
import { Counts } from './bounds.ts'
import { openChunkResigner } from './chunk-resigner.ts'
import { credential, host, openBed, scopeOf, secretText, serverIdentity, type Bed } from './fixture.ts'
import { openClient } from './talk.ts'

const mebibyte = 1024 * 1024
const dummy = 'f'.repeat(64)

/** Verifies the chain of chunk signatures from the specification alone, and answers the bytes of data. */
async function verifiedBytes(request: IncomingMessage, onChunk: () => void): Promise<number> {
  const [, scope = '', seed = ''] =
    /Credential=[^/]+\/([^,]+),.*Signature=(\w+)/.exec(request.headers.authorization ?? '') ?? []
  const key = scope
    .split('/')
    .reduce<string | Buffer>(
      (last, part) => createHmac('sha256', last).update(part).digest(),
      `AWS4${secretText}`,
    )
  let previous = seed
  let expected: string | undefined = ''
  let bytes = 0
  let data = createHash('sha256')
  function verify(): void {
    const date = String(request.headers['x-amz-date'])
    const hashes = [hash('sha256', ''), data.digest('hex')]
    const toSign = ['AWS4-HMAC-SHA256-PAYLOAD', date, scope, previous, ...hashes].join('\n')
    previous = createHmac('sha256', key).update(toSign).digest('hex')
    assert.equal(expected, previous)
    data = createHash('sha256')
    onChunk()
  }
  const parser = openAwsChunkedParser({
    chunk({ size, signature }) {
      expected = signature
      if (size === 0) verify()
    },
    data(part) {
      bytes += part.length
      data.update(part)
    },
    chunkEnd: verify,
  })
  for await (const part of request) parser.push(part as Buffer)
  parser.finish()
  return bytes
}

/** An upstream that discards what it has verified. */
async function listenDiscarding(bed: Bed, onChunk: () => void) {
  const server = createServer(serverIdentity(host, { authority: bed.upstreamCa }), (request, response) => {
    verifiedBytes(request, onChunk).then(
      (bytes) => response.end(String(bytes)),
      (error: Error) => response.destroy(error),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { port, [Symbol.asyncDispose]: async () => void server.close() }
}

test('256 MiB are signed chunk by chunk in memory that stays flat', { timeout: 600_000 }, async () => {
  await using bed = openBed()
  let most = 0
  const measure = () => (most = Math.max(most, process.memoryUsage.rss()))
  await using upstream = await listenDiscarding(bed, measure)
  bed.plane.apply(scopeOf(upstream.port))
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  const data = Buffer.alloc(65_536, 'a')
  const chunk = Buffer.concat([Buffer.from(`10000;chunk-signature=${dummy}\r\n`), data, Buffer.from('\r\n')])
  const last = Buffer.from(`0;chunk-signature=${dummy}\r\n\r\n`)

  async function upload(bytes: number): Promise<void> {
    const chunks = bytes / data.length
    const head = [
      'PUT /bucket/key HTTP/1.1',
      `Host: ${host}:${upstream.port}`,
      `Content-Length: ${chunks * chunk.length + last.length}`,
      'X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      `X-Amz-Decoded-Content-Length: ${bytes}`,
      '\r\n',
    ]
    void client.link.write(Buffer.from(head.join('\r\n')))
    for (let sent = 0; sent < chunks; sent += 1) await client.link.write(chunk)
    const answer = await client.send(last, 'PUT')
    assert.equal(answer?.body.toString(), String(bytes))
  }

  await upload(32 * mebibyte)
  const before = most
  await upload(256 * mebibyte)
  assert(most - before < 96 * mebibyte, `grew by ${(most - before) / mebibyte} MiB`)
})

function openResigner({ limit = 1000, total = 1000 } = {}) {
  const budget = new Counts({ maxPerKey: total }).budgetOf('one')
  const scope = { service: 's3', region: 'us-east-1' }
  const { credential: aws } = credential()
  const seed = { credential: aws, scope, at: 0, signature: dummy }
  return { budget, resigner: openChunkResigner(seed, { limit, budget }) }
}

test('a chunk leaves as soon as it is whole, and what is held of it counts until then', () => {
  const { budget, resigner } = openResigner()
  assert.deepEqual(resigner.write(Buffer.from(`5;chunk-signature=${dummy}\r\nhel`)), [])
  assert(!budget.take(998))
  const sent = Buffer.concat(resigner.write(Buffer.from('lo\r\n'))).toString()
  assert.match(sent, /^5;chunk-signature=[0-9a-f]{64}\r\nhello\r\n$/)
  assert(!sent.includes(dummy))
  assert(budget.take(1000))
})

test('a chunk beyond the bound, or more than all may hold, is refused, and closing lets go', () => {
  const header = Buffer.from(`3e9;chunk-signature=${dummy}\r\n`)
  assert.throws(() => openResigner().resigner.write(header), {
    code: 'WIRE_TOO_LARGE',
    message: /1001 bytes/,
  })
  const { budget, resigner } = openResigner({ limit: 2000, total: 500 })
  resigner.write(Buffer.concat([header, Buffer.alloc(500)]))
  assert.throws(() => resigner.write(Buffer.alloc(1)), {
    code: 'BUFFERS_EXHAUSTED',
    message: /too many bodies/,
  })
  resigner.close()
  assert(budget.take(500))
})

test('bodies that take all the memory there is for them are refused as a matter of the moment', async () => {
  await using bed = openBed({ limits: { maxBufferedTotal: 500 } })
  await using upstream = await listenDiscarding(bed, () => {})
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  const head = [
    'PUT /key HTTP/1.1',
    `Host: ${host}`,
    'X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'X-Amz-Decoded-Content-Length: 1000',
    'Content-Length: 100000',
    '',
    `3e8;chunk-signature=${dummy}`,
    '',
  ]
  const answer = await client.send(`${head.join('\r\n')}${'x'.repeat(600)}`, 'PUT')
  assert.equal(answer?.head.status, 503)
  const code = answer.head.headers.find(({ name }) => name === 'x-tideway-error')
  assert.equal(code?.value, 'BUFFERS_EXHAUSTED')
})
