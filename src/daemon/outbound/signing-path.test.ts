import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, Agent, request as httpsRequest, type RequestOptions } from 'node:https'
import type { IncomingMessage, RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { host, openBed, scopeOf, serverIdentity, tokenText, type Bed } from './fixture.ts'

async function openHttps(bed: Bed, handler: RequestListener) {
  const server = createServer(serverIdentity(host, { authority: bed.upstreamCa }), handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { port, [Symbol.asyncDispose]: async () => void server.close() }
}

async function ask(
  options: RequestOptions,
  body?: string,
): Promise<{ status: number; text: string; response: IncomingMessage }> {
  const request = httpsRequest(options)
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode!, text, response }
}

test('a request of an identified process arrives signed at the verified host', async () => {
  await using bed = openBed()
  let seen: IncomingMessage | undefined
  await using upstream = await openHttps(bed, (request, response) => {
    seen = request
    response.end('hello')
  })
  bed.plane.apply(scopeOf(upstream.port))
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const agent = new Agent({ keepAlive: true })
  const options = {
    agent,
    host: '127.0.0.1',
    port: proxy.port,
    servername: host,
    headers: { host: `${host}:${upstream.port}` },
    ca: bed.interceptCaPem,
    path: '/bucket/key?list-type=2',
  }
  for (let round = 0; round < 3; round += 1) {
    const { status, text } = await ask(options)
    assert.equal(status, 200)
    assert.equal(text, 'hello')
    assert.match(
      seen!.headers.authorization!,
      /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\/\d{8}\/us-east-1\/s3\/aws4_request/,
    )
    assert.equal(seen!.headers['x-amz-security-token'], tokenText)
    assert.equal(seen!.url, '/bucket/key?list-type=2')
  }
  assert.equal(bed.audit.starts.length, 3)
  assert.equal(bed.audit.ends.length, 3)
  assert.equal(bed.plane.stats().connections, 1)
  agent.destroy()
})

test('a connection to a host that was bound a moment ago waits for the certificate of that host', async () => {
  await using bed = openBed()
  await using upstream = await openHttps(bed, (_, response) => response.end('hello'))
  bed.plane.setLeafAuthorities([{ ...bed.leafAuthority, hosts: ['sts.us-east-1.amazonaws.com'] }])
  bed.plane.apply(scopeOf(upstream.port))
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const asked = ask({
    host: '127.0.0.1',
    port: proxy.port,
    servername: host,
    headers: { host: `${host}:${upstream.port}`, connection: 'close' },
    ca: bed.interceptCaPem,
  })
  // Long enough for its ClientHello to have been read.
  for (let turns = 0; turns < 100 || bed.identifier.identified === 0; turns += 1)
    await new Promise((resolve) => setImmediate(resolve))
  bed.plane.setLeafAuthorities([bed.leafAuthority])
  assert.equal((await asked).status, 200)
})
