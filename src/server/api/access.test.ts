import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { test } from 'node:test'
import type { FastifyPluginAsync } from 'fastify'
import { openTestClock } from '#base/clock'
import type { Secret } from '#base/secret'
import { adminTokens, ensureAdminToken } from '#server/access'
import { openMemoryStore } from '#server/store'
import { auth, core, service, token, value } from './test-objects.ts'
import { loopbackCertificate, openTestServer } from './test-server.ts'

test('an anonymous caller, or one with another token, learns nothing', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const base = `/apis/${core}/namespaces/riptides-system`
  const requests: readonly [string, string][] = [
    ['GET', `${base}/services`],
    ['GET', `${base}/services/aws`],
    ['GET', `${base}/services/missing`],
    ['GET', `${base}/services?watch=true`],
    ['GET', `${base}/nothings`],
    ['POST', `${base}/services`],
    ['PUT', `${base}/services/aws`],
    ['PATCH', `${base}/services/aws`],
    ['DELETE', `${base}/services/aws`],
    ['GET', '/api/v1/secrets'],
    ['GET', '/api'],
    ['GET', '/apis'],
    ['GET', '/version'],
    ['GET', '/audit'],
    ['GET', '/keys'],
    ['POST', '/keys/rotate'],
    ['GET', '/no-such-path'],
    ['POST', '/no-such-path'],
    ['OPTIONS', `${base}/services`],
    ['GET', '/%'],
  ]
  const strangers = [
    null,
    'Bearer x',
    `Bearer ${server.token}x`,
    `Basic ${server.token}`,
    'Bearer',
    server.token,
  ]
  for (const authorization of strangers) {
    for (const [method, path] of requests) {
      const answer = await server.ask(method, path, { authorization })
      if (path === '/%') assert.ok(answer.status === 400 || answer.status === 401)
      else assert.equal(answer.status, 401, `${method} ${path}`)
      assert.doesNotMatch(answer.body, /aws|sts/)
      if (answer.status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer realm="tideway"')
    }
  }
  assert.equal((await server.ask('GET', '/healthz', { authorization: null })).body, 'ok')
  assert.equal((await server.client.get('Service', 'aws')).metadata.name, 'aws')
})

test('routes of plugins are closed unless their config says public', async () => {
  const plugin: FastifyPluginAsync = async (app) => {
    app.get('/open', { config: { public: true } }, () => ({ open: true }))
    app.get('/closed', () => ({ open: false }))
  }
  await using server = await openTestServer({ plugins: [plugin] })
  assert.equal((await server.ask('GET', '/open', { authorization: null })).status, 200)
  assert.equal((await server.ask('GET', '/closed', { authorization: null })).status, 401)
  assert.equal((await server.ask('GET', '/closed')).status, 200)
})

test("the administrator's token is made once, and only its hash is stored", async () => {
  await using server = await openTestServer()
  const { entries } = await server.store.list('/')
  for (const { key, value } of entries) {
    assert.doesNotMatch(key + Buffer.from(value).toString(), new RegExp(server.token.slice(0, 12)))
  }
  const again = await ensureAdminToken(server.store, {
    clock: openTestClock(),
    random: randomBytes,
    deliver: () => assert.fail('a second token'),
  })
  assert.equal(again, false)
})

test("the administrator's token counts only once it has been delivered", async () => {
  await using store = openMemoryStore()
  const make = (deliver: (token: Secret) => void) =>
    ensureAdminToken(store, { clock: openTestClock(), random: randomBytes, deliver })
  const delivered: string[] = []
  const failing = make((token) => {
    delivered.push(token.revealText())
    throw new Error('disk full')
  })
  await assert.rejects(failing, /disk full/)
  assert.equal(await make((token) => delivered.push(token.revealText())), true)
  const tokens = adminTokens(store)
  await assert.rejects(tokens.authenticate(delivered[0]!))
  assert.equal((await tokens.authenticate(delivered[1]!))?.name, 'system:admin')
})

test("a lost administrator's token is replaced, and no longer accepted", async () => {
  await using server = await openTestServer()
  let token = ''
  const deliver = (made: Secret) => {
    token = made.revealText()
  }
  await ensureAdminToken(server.store, {
    clock: openTestClock(),
    random: randomBytes,
    deliver,
    replace: true,
  })
  assert.equal((await server.ask('GET', '/apis')).status, 401)
  assert.equal((await server.ask('GET', '/apis', { authorization: `Bearer ${token}` })).status, 200)
})

test('write-only fields come back nowhere: not in answers, watches, errors, the audit trail or the store', async () => {
  await using server = await openTestServer({ kind: 'sqlite' })
  const encoded = Buffer.from(value).toString('base64')
  const { signal } = new AbortController()
  const watched: string[] = []
  const watch = async (kind: 'JoinToken' | 'Secret', deletions: number) => {
    for await (const event of server.client.watch(kind, { resourceVersion: '1', signal })) {
      watched.push(JSON.stringify(event))
      if (event.type === 'DELETED' && --deletions === 0) return
    }
  }
  const watches = [watch('JoinToken', 1), watch('Secret', 2)]
  const answers: string[] = []
  const ask = async (...call: Parameters<typeof server.ask>) => {
    const { body, headers } = await server.ask(...call)
    answers.push(body, JSON.stringify(headers))
  }
  const annotations = {
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ token, stringData: { key: value } }),
  }
  const targets: readonly [string, Record<string, unknown>][] = [
    [
      `/apis/${auth}/namespaces/riptides-system/jointokens`,
      { apiVersion: auth, kind: 'JoinToken', spec: { token } },
    ],
    [
      '/api/v1/namespaces/riptides-system/secrets',
      { apiVersion: 'v1', kind: 'Secret', stringData: { key: value } },
    ],
    [
      '/api/v1/namespaces/riptides-system/secrets',
      { apiVersion: 'v1', kind: 'Secret', data: { key: encoded } },
    ],
  ]
  for (const [index, [path, rest]] of targets.entries()) {
    const name = `n${index}`
    const object = { ...rest, metadata: { name, annotations } }
    await ask('POST', path, { body: object })
    await ask('POST', path, { body: object })
    await ask('GET', path)
    await ask('GET', `${path}/${name}`)
    await ask('GET', `${path}/${name}/status`)
    await ask('PUT', `${path}/${name}`, { body: object })
    await ask('PATCH', `${path}/${name}`, { contentType: 'application/merge-patch+json', body: rest })
    // In the wrong place, of the wrong type, in broken JSON.
    await ask('PUT', `${path}/${name}`, { body: { ...object, spec: { token: [token] }, data: value } })
    await ask('PUT', `${path}/${name}`, { body: { ...object, spec: token, stringData: value } })
    await ask('PUT', `${path}/${name}`, {
      body: { ...object, data: { key: value }, spec: { token: token.slice(0, 9) } },
    })
    await ask('PUT', `${path}/${name}`, { body: `{"token": ${token} ${value}` })
    await ask('PUT', `${path}/other`, { body: object })
    await ask('DELETE', `${path}/${name}`, { body: {} })
  }
  await Promise.all(watches)
  assert.ok(watched.length >= 6)
  const { entries } = await server.store.list('/')
  const records = entries.map((entry) => entry.key + Buffer.from(entry.value).toString())
  const everything = [...answers, ...watched, ...records, JSON.stringify(await server.auditTrail())].join(
    '\n',
  )
  for (const secret of [token, token.slice(0, 9), value, encoded]) {
    assert.ok(
      !everything.includes(secret),
      `found: ${everything.slice(everything.indexOf(secret) - 200)}`.slice(0, 400),
    )
  }
})

test('answers carry headers that keep browsers and caches out', async () => {
  await using server = await openTestServer()
  const { headers } = await server.ask('GET', '/version')
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.match(String(headers['content-security-policy']), /default-src 'none'/)
})

test('a new certificate serves the connections that come after it', async () => {
  await using server = await openTestServer()
  const next = loopbackCertificate()
  const handshake = async (ca: string) => {
    const socket = connect({ host: '127.0.0.1', port: server.api.address.port, ca })
    await once(socket, 'secureConnect')
    socket.destroy()
  }
  await handshake(server.ca)
  server.api.setCertificate(next.tls)
  await handshake(next.ca)
  await assert.rejects(handshake(server.ca))
})
