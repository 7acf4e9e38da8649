import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fastify, type FastifyInstance } from 'fastify'
import { boundConnections } from './connections.ts'
import { boundInFlight } from './in-flight.ts'
import { sendStatus, statusOf, type Status } from './status.ts'
import { openTestServer, type TestServer } from './test-server.ts'

const services = '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services'
const service = (name: string, annotations: object = {}) => ({
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name, annotations },
  spec: {
    labels: { app: name },
    addresses: [{ address: `${name}.example.org`, port: 443 }],
    external: true,
  },
})

let server: TestServer
before(async () => (server = await openTestServer()))
after(() => server[Symbol.asyncDispose]())

const nested = (depth: number) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
const apply = (body: string) =>
  server.ask('PATCH', `${services}/applied?fieldManager=test`, {
    contentType: 'application/apply-patch+yaml',
    body,
  })

const patch = (type: string) => ({
  method: 'PATCH',
  path: `${services}/patched`,
  contentType: `application/${type}+json`,
})
const create = { method: 'POST', path: services, contentType: 'application/json' }
const bodies: [name: string, how: typeof create, body: string, status: number][] = [
  ['JSON nested 200,000 deep', create, nested(200_000), 400],
  ['a merge patch nested 200,000 deep', patch('merge-patch'), nested(200_000), 400],
  [
    'a value of a JSON patch nested 200,000 deep',
    patch('json-patch'),
    `[{"op":"add","path":"/spec/a","value":${nested(200_000)}}]`,
    400,
  ],
  [
    'more operations than a patch may have',
    patch('json-patch'),
    JSON.stringify(Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'Service' }))),
    422,
  ],
  [
    'a JSON patch that moves one map into another again and again',
    patch('json-patch'),
    JSON.stringify(
      Array.from({ length: 4_000 }, (_, index) => [
        { op: 'add', path: '/metadata/annotations/next', value: {} },
        ...(index === 0
          ? []
          : [{ op: 'move', from: '/metadata/annotations/deep', path: '/metadata/annotations/next/a' }]),
        { op: 'move', from: '/metadata/annotations/next', path: '/metadata/annotations/deep' },
      ])
        .flat()
        .slice(0, 10_000),
    ),
    422,
  ],
  [
    'a body that is larger than any object may be',
    create,
    JSON.stringify(service('large', { a: 'x'.repeat(1_600_000) })),
    413,
  ],
]
for (const [name, { method, path, contentType }, body, status] of bodies) {
  test(`${name} is refused with ${status}`, async () => {
    assert.notEqual((await server.ask('POST', services, { body: service('patched') })).status, 422)
    const answer = await server.ask(method, path, { contentType, body })
    assert.equal(answer.status, status, answer.body.slice(0, 300))
    assert.equal((JSON.parse(answer.body) as Status).code, status)
  })
}

test('an object that patches make larger than any may be is refused with 413', async () => {
  await server.ask('POST', services, { body: service('grown') })
  const grow = (tag: string) => {
    const labels = { [tag]: 'x'.repeat(4_000), [tag.repeat(300_000)]: '' }
    return server.ask('PATCH', `${services}/grown`, {
      contentType: 'application/merge-patch+json',
      body: { spec: { labels } },
    })
  }
  for (const [tag, status] of [
    ['a', 200],
    ['b', 200],
    ['c', 413],
  ] as const) {
    const answer = await grow(tag)
    assert.equal(answer.status, status, answer.body.slice(0, 300))
    if (status === 413) assert.equal((JSON.parse(answer.body) as Status).reason, 'RequestEntityTooLarge')
  }
})

test('an object that is wrong in 20,000 places, with names as long as they like, is refused and recorded', async () => {
  const unknown = Object.fromEntries([
    ['field'.repeat(20_000), 1],
    ...Array.from({ length: 20_000 }, (_, index) => [`${'field'.repeat(8)}${index}`, 1]),
  ]) as Record<string, number>
  const wrong = service('wrong')
  const body = { ...wrong, spec: { ...wrong.spec, ...unknown } }
  const answer = await server.ask('POST', services, { body })
  assert.equal(answer.status, 422, answer.body.slice(0, 300))
  assert.ok(answer.body.length < 500_000, `${answer.body.length}`)
  const record = (await server.auditTrail()).findLast(({ type }) => type === 'change')
  assert.partialDeepStrictEqual(record, { verb: 'create', object: 'Service/wrong', outcome: 'refused' })
})

const manyKeys = (count: number) => Array.from({ length: count }, (_, index) => `key${index}: x`).join('\n')
const documents: [name: string, text: string, status: number][] = [
  ['of 60,000 keys', manyKeys(60_000), 413],
  ['of as many keys as are read', manyKeys(9_000), 400],
  ['with a key twice', 'kind: Service\nkind: Service', 400],
  ['with aliases', `a: &a "${'x'.repeat(1000)}"\nb: [${'*a,'.repeat(50)}*a]`, 400],
  ['nested 50,000 deep', '['.repeat(50_000), 400],
  ['nested 2,000 deep and closed again', '['.repeat(2_000) + ']'.repeat(2_000), 400],
]
for (const [name, text, status] of documents) {
  test(`YAML ${name} is refused with ${status}`, async () => {
    const answer = await apply(text)
    assert.equal(answer.status, status, answer.body.slice(0, 300))
  })
}

const largeService = {
  ...service('applied'),
  spec: {
    ...service('applied').spec,
    addresses: Array.from({ length: 50 }, (_, index) => ({
      address: `${'a'.repeat(60)}.a${index}.org`,
      port: 443,
    })),
  },
}

test('what is sent as YAML and is JSON may be as large as any, and YAML is read', async () => {
  const large = await apply(JSON.stringify(largeService))
  assert.equal(large.status, 201, large.body.slice(0, 300))
  const { kind, apiVersion } = service('')
  const yaml = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata:\n  name: applied\nspec:\n  labels:\n    app: a\n  addresses:\n    - address: a.example.org\n      port: 443\n  external: true\n`
  assert.equal((await apply(yaml)).status, 200)
})

test('tokens and headers of any size, lists without end and positions of nobody get a plain answer', async () => {
  for (const [path, headers, status] of [
    [services, `Bearer ${'a'.repeat(12_000)}`, 401],
    [services, `Bearer ${'a'.repeat(1_000_000)}`, 431],
    [
      services,
      Object.fromEntries(Array.from({ length: 1_500 }, (_, index) => [`x-${index}`, 'a'.repeat(20)])),
      431,
    ],
    [`${services}?limit=999999999`, {}, 200],
    [`${services}?limit=9999999999`, {}, 400],
    [`${services}?continue=${'a'.repeat(10_000)}`, {}, 400],
    [`${services}?labelSelector=a${'%20'.repeat(4_000)}x`, {}, 400],
  ] as const) {
    const answer = await server.ask(
      'GET',
      path,
      typeof headers === 'string' ? { authorization: headers } : { headers },
    )
    assert.equal(answer.status, status, `${path.slice(0, 100)}: ${answer.body.slice(0, 300)}`)
  }
})

/** A server whose answers wait, where the header `user` is who asks. */
async function openWaiting(bound: (app: FastifyInstance) => void) {
  const app = fastify()
  const waiting: (() => void)[] = []
  app.decorateRequest('principal', undefined)
  app.addHook('onRequest', async (asked) => {
    const { user } = asked.headers
    if (user !== undefined) Object.assign(asked, { principal: { name: user, groups: [], provider: 'test' } })
  })
  app.setErrorHandler((error, _request, reply) => {
    return sendStatus(reply, statusOf(error))
  })
  bound(app)
  const wait = () => new Promise<string>((resolve) => waiting.push(() => resolve('served')))
  app.get('/', wait)
  app.post('/', wait)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return {
    port,
    app,
    waiting,
    /** Resolves with the status; the request itself is aborted by `signal`. */
    ask: async (user: string, { path = '/', bytes = 0, signal = new AbortController().signal } = {}) => {
      const method = bytes > 0 ? 'POST' : 'GET'
      const headers = { user, 'content-type': 'text/plain', ...(bytes > 0 && { 'content-length': bytes }) }
      const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false, signal })
      sent.end('x'.repeat(bytes))
      const [answer] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
      answer.resume()
      return { status: answer.statusCode, retryAfter: answer.headers['retry-after'] }
    },
    untilWaiting: async (count: number) => {
      while (waiting.length < count) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('the flood of one user is refused, that of all together too, and who is done leaves room', async (context) => {
  const bounds = {
    requests: { ofOne: 2, ofAll: 3 },
    streams: { ofOne: 1, ofAll: 1 },
    bytes: { ofOne: 100, ofAll: 150 },
  }
  const { app, ask, waiting, untilWaiting } = await openWaiting((one) =>
    boundInFlight(one, { bodyLimit: 80, bounds }),
  )
  context.after(() => app.close())
  const refused = { status: 429, retryAfter: '1' }
  const first = [ask('a'), ask('a')]
  await untilWaiting(2)
  assert.deepEqual(await ask('a'), refused)
  const other = ask('b')
  await untilWaiting(3)
  assert.deepEqual(await ask('c'), refused)
  const watch = ask('a', { path: '/?watch=true' })
  await untilWaiting(4)
  assert.deepEqual(await ask('a', { path: '/?watch=True' }), refused)
  for (const serve of waiting.splice(0)) serve()
  for (const served of await Promise.all([...first, other, watch])) assert.equal(served.status, 200)

  const stop = new AbortController()
  const gone = ask('a', { bytes: 70, signal: stop.signal })
  gone.catch(() => {})
  await untilWaiting(1)
  assert.deepEqual(await ask('a', { bytes: 70 }), refused)
  const last = ask('b', { bytes: 70 })
  await untilWaiting(2)
  assert.deepEqual(await ask('c', { bytes: 70 }), refused)
  // A client that goes away takes what it had along.
  stop.abort()
  await assert.rejects(gone)
  waiting.splice(0)[1]!()
  await last
  let again = ask('c', { bytes: 70 })
  while ((await Promise.race([again, untilWaiting(1)]))?.status === 429) again = ask('c', { bytes: 70 })
  waiting[0]!()
  assert.equal((await again).status, 200)
})

test('a watch gives its place back when it ends, and when its client goes away', async (context) => {
  const one = { ofOne: 1, ofAll: 1 }
  const bounds = { requests: one, streams: one, bytes: one }
  const { app, ask, waiting, untilWaiting } = await openWaiting((bounded) =>
    boundInFlight(bounded, { bodyLimit: 1, bounds }),
  )
  context.after(() => app.close())
  const watch = (signal?: AbortSignal) => ask('a', { path: '/?watch=true', ...(signal && { signal }) })
  const refused = { status: 429, retryAfter: '1' }
  const first = watch()
  await untilWaiting(1)
  assert.deepEqual(await watch(), refused)
  waiting.pop()!()
  assert.equal((await first).status, 200)

  const stop = new AbortController()
  const second = watch(stop.signal)
  await untilWaiting(1)
  assert.deepEqual(await watch(), refused)
  stop.abort()
  await assert.rejects(second)
  waiting.pop()
  let third = watch()
  while ((await Promise.race([third, untilWaiting(1)]))?.status === 429) third = watch()
  waiting.pop()!()
  assert.equal((await third).status, 200)
})

test('connections of strangers push out one another, and nobody who is known or elsewhere', async (context) => {
  const { app, port, ask, waiting, untilWaiting } = await openWaiting((one) => boundConnections(one, 3))
  context.after(() => app.close())
  const known = ask('a')
  await untilWaiting(1)
  const open = async (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    context.after(() => socket.destroy())
    await once(
      socket.on('error', () => {}),
      'connect',
    )
    return socket
  }
  const elsewhere = await open('127.0.0.2')
  const flood = [await open('127.0.0.1'), await open('127.0.0.1')]
  const ended = once(flood[0]!, 'close')
  const late = await open('127.0.0.1')
  await ended
  waiting[0]!()
  assert.equal((await known).status, 200)
  assert.deepEqual(
    [elsewhere, ...flood, late].map(({ destroyed }) => destroyed),
    [false, true, false, false],
  )
})
