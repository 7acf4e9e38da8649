import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#base/clock'
import { Secret } from '#base/secret'
import type { Credential } from '#model/credential'
import {
  credential,
  host,
  listenPlain,
  listenTls,
  openBed,
  scopeOf,
  serverIdentity,
  type Bed,
  type ScopeParts,
} from './fixture.ts'
import { answering, openClient, openPlainClient, response } from './talk.ts'

const secret = 'what-the-workload-never-sees'
const life = { issuedAt: systemClock.now(), expiresAt: systemClock.now() + 3_600_000 }
const bearer: Credential = { kind: 'bearer', token: Secret.of(secret), ...life }
const basic: Credential = { kind: 'basic', username: 'app', password: Secret.of(secret), ...life }
const named: Credential = { kind: 'header', name: 'X-Api-Key', value: Secret.of(secret), ...life }
/** No AWS host implies a scope here, and none is asked for. */
const other = 'api.example.com'

function grants(port: number, granted: Credential, service: ScopeParts['service'] = {}) {
  return scopeOf(port, { service, credentials: [{ ...credential(), credential: granted }] })
}

interface Seen {
  readonly target: string
  readonly headers: readonly string[]
  readonly body: string
}

function recorder() {
  const seen: Seen[] = []
  const onSocket = answering(({ head, body }) => {
    const headers = head.headers.map(({ name, value }) => `${name}: ${value}`)
    seen.push({ target: head.target, headers, body: body.toString() })
    return response()
  })
  return { seen, onSocket }
}

async function openTlsPath(bed: Bed, granted: Credential) {
  const { seen, onSocket } = recorder()
  const upstream = await listenTls(serverIdentity(other, { authority: bed.upstreamCa }), onSocket)
  bed.plane.apply(grants(upstream.port, granted, { addresses: [{ host: other, port: upstream.port }] }))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  const client = await openClient(bed, proxy, { servername: other })
  const stack = new AsyncDisposableStack()
  stack.use(upstream)
  stack.use(proxy)
  stack.use(client)
  const authority = `${other}:${upstream.port}`
  return { seen, client, authority, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const basicPair = Buffer.from(`app:${secret}`).toString('base64')

for (const [granted, sent, kept] of [
  [bearer, `authorization: Bearer ${secret}`, 'x-api-key: theirs'],
  [basic, `authorization: Basic ${basicPair}`, 'x-api-key: theirs'],
  [named, `x-api-key: ${secret}`, 'authorization: Bearer theirs'],
] as const) {
  test(`a ${granted.kind} credential replaces what the workload sent in its place, and nothing else`, async () => {
    await using bed = openBed()
    await using path = await openTlsPath(bed, granted)
    const { client, authority, seen } = path
    const lines = [
      'POST /v1/things?a=b&X-Amz-Signature=theirs HTTP/1.1',
      `Host: ${authority}`,
      'Authorization: Bearer theirs',
      'X-API-KEY: theirs',
      ...(granted.kind === 'header' ? ['x-api-key: again'] : ['AUTHORIZATION: again']),
      'Content-Length: 4',
      '',
      'body',
    ]
    assert.equal((await client.send(lines.join('\r\n')))?.head.status, 200)
    const [request] = seen
    assert.equal(request?.target, '/v1/things?a=b&X-Amz-Signature=theirs')
    assert.equal(request.body, 'body')
    const authentication = request.headers.filter((line) => /^(?:authorization|x-api-key):/.test(line))
    assert.deepEqual(authentication.toSorted(), [sent, kept].toSorted())
    assert(!request.headers.some((line) => line.startsWith('x-amz-')))
    const [record] = bed.audit.starts
    assert.equal(record?.decision, 'injected')
    assert(!JSON.stringify(bed.audit.starts).includes(secret))
  })
}

test('a trailer with the name of the header that a credential is sent in completes no request', async () => {
  await using bed = openBed()
  const vault: Credential = { kind: 'header', name: 'X-Vault-Token', value: Secret.of(secret), ...life }
  await using path = await openTlsPath(bed, vault)
  const { client, authority, seen } = path
  const head = `PUT /secret HTTP/1.1\r\nHost: ${authority}\r\nTransfer-Encoding: chunked\r\n\r\n`
  const answer = await client.send(`${head}2\r\nok\r\n0\r\nx-vault-token: theirs\r\n\r\n`)
  assert.equal(answer?.head.status, 400)
  assert.match(answer.body.toString(), /forbidden trailer x-vault-token/)
  assert.deepEqual(seen, [])
})

test('a body of any length streams: nothing of it is hashed', async () => {
  await using bed = openBed({ limits: { maxBufferedBody: 10 } })
  await using path = await openTlsPath(bed, bearer)
  const { client, authority, seen } = path
  const head = `PUT /large HTTP/1.1\r\nHost: ${authority}\r\nTransfer-Encoding: chunked\r\n\r\n`
  const body = 'x'.repeat(1000)
  assert.equal((await client.send(`${head}3e8\r\n${body}\r\n0\r\n\r\n`))?.head.status, 200)
  assert.equal(seen[0]?.body, body)
})

test('a token goes in plain text to this machine, and beyond it only where the Service says so', async () => {
  await using bed = openBed()
  const { seen, onSocket } = recorder()
  await using upstream = await listenPlain(onSocket)
  const { port } = upstream
  bed.plane.apply(grants(port, bearer, { addresses: [{ host: '127.0.0.1', port }] }))
  await using near = await bed.listen({ address: '127.0.0.1', port })
  using neighbour = await openPlainClient(near)
  const answered = await neighbour.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  assert.equal(answered?.head.status, 200)
  assert(seen[0]?.headers.includes(`authorization: Bearer ${secret}`))

  await using elsewhere = openBed({
    connectTo: [{ host: other, port, address: '127.0.0.1', addressPort: port }],
  })
  await using proxy = await elsewhere.listen({ host: other, port })
  const addresses = [{ host: other, port }]
  for (const [allowPlainText, status] of [
    [false, 403],
    [true, 200],
  ] as const) {
    elsewhere.plane.apply(grants(port, bearer, { addresses, allowPlainText }))
    using client = await openPlainClient(proxy)
    const answer = await client.send(`GET / HTTP/1.1\r\nHost: ${other}:${port}\r\n\r\n`)
    assert.equal(answer?.head.status, status)
    if (status === 403) assert.match(answer.body.toString(), /in plain text, which Service s3 does not allow/)
  }
  assert.equal(seen.length, 2)
})

test('an expired token is not sent', async () => {
  await using bed = openBed()
  await using path = await openTlsPath(bed, { ...bearer, expiresAt: systemClock.now() - 1 })
  const answer = await path.client.send(`GET / HTTP/1.1\r\nHost: ${path.authority}\r\n\r\n`)
  assert.equal(answer?.head.status, 503)
  assert.equal(path.seen.length, 0)
})

test('the plain text of AWS is a signature, and needs no leave', async () => {
  await using bed = openBed({ connectTo: [] })
  const { seen, onSocket } = recorder()
  await using upstream = await listenPlain(onSocket)
  bed.plane.apply(
    scopeOf(upstream.port, {
      service: {
        addresses: [{ host: '127.0.0.1', port: upstream.port }],
        signing: { service: 's3', region: 'x' },
      },
    }),
  )
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openPlainClient(proxy)
  assert.equal(
    (await client.send(`GET / HTTP/1.1\r\nHost: ${host}:${upstream.port}\r\n\r\n`))?.head.status,
    421,
  )
  assert.equal(
    (await client.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${upstream.port}\r\n\r\n`))?.head.status,
    200,
  )
  assert.equal(seen.length, 1)
})

test('a credential that is replaced by one of another kind under way is not sent', async () => {
  const { seen, onSocket } = recorder()
  await using upstream = await listenPlain(onSocket)
  const { port } = upstream
  const addresses = [{ host: other, port }]
  const service = { addresses, signing: { service: 's3', region: 'us-east-1' } }
  await using bed = openBed({
    async resolve() {
      bed.plane.apply(grants(port, bearer, service))
      return ['127.0.0.1']
    },
  })
  bed.plane.apply(scopeOf(port, { service }))
  await using proxy = await bed.listen({ host: other, port })
  using client = await openPlainClient(proxy)
  const answer = await client.send(`GET / HTTP/1.1\r\nHost: ${other}:${port}\r\n\r\n`)
  assert.equal(answer?.head.status, 503)
  assert.match(answer.body.toString(), /replaced by one of another kind/)
  assert.equal(seen.length, 0)
})
