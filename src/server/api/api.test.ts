import assert from 'node:assert/strict'
import { connect } from 'node:tls'
import { once } from 'node:events'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { kinds, type Draft, type ResourceDraft, type Service } from '#model/resource'
import type { FastifyPluginAsync } from 'fastify'
import { loopbackCertificate, openTestServer } from './test-server.ts'
import { ensureBootstrapToken } from './tokens.ts'

const core = 'core.riptides.io/v1alpha1'
const auth = 'auth.riptides.io/v1alpha1'
const token = 'join-token-that-nobody-may-read'
const value = 'secret-value-that-nobody-may-read'

const service = (labels: Record<string, string> = { app: 'x' }): Draft<Service> => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'aws' },
  spec: { labels, addresses: [{ address: 'sts.amazonaws.com', port: 443 }] },
})

const drafts: readonly ResourceDraft[] = [
  service(),
  {
    apiVersion: core,
    kind: 'WorkloadIdentity',
    metadata: { name: 'app' },
    spec: { workloadID: 'my/app', scope: { daemon: { id: 'd/1' } }, selectors: [{ 'process:uid': 1000 }] },
  },
  {
    apiVersion: core,
    kind: 'CredentialSource',
    metadata: { name: 'aws' },
    spec: { aws: { roleArn: 'arn:aws:iam::123456789012:role/app' } },
  },
  {
    apiVersion: core,
    kind: 'CredentialBinding',
    metadata: { name: 'app' },
    spec: {
      workloadID: 'my/app',
      credentialSource: 'aws',
      propagation: { injection: { selectors: [{ app: 'x' }] } },
    },
  },
  {
    apiVersion: core,
    kind: 'WorkloadCredential',
    metadata: { name: 'app' },
    spec: { workloadID: 'my/app', credentialSource: 'aws' },
  },
  {
    apiVersion: core,
    kind: 'Daemon',
    metadata: { name: 'd1' },
    spec: { workloadID: 'd/1', claimerType: 'JoinToken' },
  },
  { apiVersion: auth, kind: 'Verifier', metadata: { name: 'join' }, spec: { joinToken: {} } },
  { apiVersion: auth, kind: 'JoinToken', metadata: { name: 'node' }, spec: { token } },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { key: value } },
]

test('every kind is created, read, listed, changed and deleted over HTTPS on SQLite', async () => {
  await using server = await openTestServer({ kind: 'sqlite' })
  const { client } = server
  assert.deepEqual(drafts.map(({ kind }) => kind).sort(), kinds.map(({ kind }) => kind).sort())
  for (const draft of drafts) {
    const { kind, metadata } = draft
    const created = await client.create(draft)
    assert.equal(created.metadata.namespace, 'riptides-system')
    assert.match(
      created.metadata.uid,
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    assert.deepEqual(await client.get(kind, metadata.name), created)
    assert.deepEqual((await client.list(kind, { allNamespaces: true })).items, [created])
    const labelled = await client.update({ ...draft, metadata: { ...metadata, labels: { a: 'b' } } })
    assert.deepEqual(labelled.metadata.labels, { a: 'b' })
    assert.equal(labelled.metadata.generation, 1, `${kind}: a label is no change of the specification`)
    await client.delete(kind, metadata.name)
    await assert.rejects(client.get(kind, metadata.name), { code: 'RESOURCE_NOT_FOUND' })
  }
})

test('an update with an old resourceVersion is a conflict, without one it is not', async () => {
  await using server = await openTestServer()
  const { client } = server
  const created = await client.create(service())
  const changed = await client.update({ ...created, spec: { labels: { app: 'y' } } })
  assert.equal(changed.metadata.generation, 2)
  await assert.rejects(client.update({ ...created, spec: { labels: { app: 'z' } } }), {
    code: 'RESOURCE_CONFLICT',
    message: /services\.core\.riptides\.io "aws": the object has been modified/,
  })
  await client.update(service({ app: 'z' }))
  await assert.rejects(client.create(service()), { code: 'RESOURCE_EXISTS' })
  const answer = await server.ask('DELETE', `/apis/${core}/namespaces/riptides-system/services/aws`, {
    body: { preconditions: { uid: 'another' } },
  })
  assert.equal(answer.status, 409)
})

test('apply says created, unchanged or configured, and keeps labels that others set', async () => {
  await using server = await openTestServer()
  const { client, resources } = server
  const verdict = async (draft: ResourceDraft) => (await client.apply(draft)).verdict
  assert.equal(await verdict(service()), 'created')
  assert.equal(await verdict(service()), 'unchanged')
  await resources.updateStatus('Service', 'riptides-system', 'aws', { state: 'OK' })
  assert.equal(await verdict(service()), 'unchanged')
  await client.update({ ...service(), metadata: { name: 'aws', labels: { theirs: '1' } } })
  assert.equal(await verdict(service({ app: 'y' })), 'configured')
  const { metadata, status } = await client.get('Service', 'aws')
  assert.deepEqual(metadata.labels, { theirs: '1' })
  assert.equal(status?.state, 'OK')
  for (const draft of drafts.filter(({ kind }) => kind === 'JoinToken' || kind === 'Secret')) {
    assert.equal(await verdict(draft), 'created')
    assert.equal(await verdict(draft), 'unchanged')
  }
  const other = { ...drafts.at(-1)!, stringData: { key: 'another' } } as ResourceDraft
  assert.equal(await verdict(other), 'configured')
})

test('a dry run validates and answers, and writes nothing', async () => {
  await using server = await openTestServer()
  const { object } = await server.client.apply(service(), { dryRun: true })
  assert.equal(object.metadata.name, 'aws')
  await assert.rejects(server.client.get('Service', 'aws'), { code: 'RESOURCE_NOT_FOUND' })
})

test('a merge patch changes what it names and removes what it sets to null', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const path = `/apis/${core}/namespaces/riptides-system/services/aws`
  const contentType = 'application/merge-patch+json'
  const patched = await server.ask('PATCH', path, {
    contentType,
    body: { spec: { addresses: null, external: true } },
  })
  assert.equal(patched.status, 200)
  assert.deepEqual(JSON.parse(patched.body).spec, { labels: { app: 'x' }, external: true })
  const renamed = await server.ask('PATCH', path, {
    contentType,
    body: { metadata: { name: 'b' }, status: { state: 'OK' } },
  })
  assert.equal(JSON.parse(renamed.body).metadata.name, 'aws')
  assert.equal(JSON.parse(renamed.body).status, undefined)
  assert.equal(
    (await server.ask('PATCH', path, { contentType: 'application/strategic-merge-patch+json', body: {} }))
      .status,
    415,
  )
})

test('a merge patch of a Secret joins its values without showing them', async () => {
  await using server = await openTestServer()
  await server.client.create(drafts.at(-1)!)
  const answer = await server.ask('PATCH', '/api/v1/namespaces/riptides-system/secrets/api', {
    contentType: 'application/merge-patch+json',
    body: { data: { other: Buffer.from('b').toString('base64') } },
  })
  assert.equal(JSON.parse(answer.body).data, undefined)
  const data = await server.resources.secretData('riptides-system', 'api')
  assert.deepEqual(
    [...data!].map(([key, secret]) => [key, secret.revealText()]),
    [
      ['key', value],
      ['other', 'b'],
    ],
  )
})

test('the status is written by its own path only', async () => {
  await using server = await openTestServer()
  const path = `/apis/${core}/namespaces/riptides-system/services/aws`
  const created = await server.client.create({ ...service(), status: { state: 'OK' } })
  assert.equal(created.status, undefined)
  const answer = await server.ask('PUT', `${path}/status`, {
    body: { ...created, status: { state: 'OK', message: 'm' } },
  })
  assert.equal(answer.status, 200)
  const updated = await server.client.get('Service', 'aws')
  assert.deepEqual([updated.status?.message, updated.metadata.generation], ['m', 1])
  const wrong = await server.ask('PUT', `${path}/status`, {
    body: { ...created, status: { state: 'WRONG' } },
  })
  assert.equal(wrong.status, 422)
})

test('a refusal names every field at fault, in the message and as causes', async () => {
  await using server = await openTestServer()
  const body = { ...service(), spec: { labels: { a: 5 }, addresses: [{ address: 'a b', bort: 1 }] } }
  const answer = await server.ask('POST', `/apis/${core}/namespaces/riptides-system/services`, { body })
  assert.equal(answer.status, 422)
  const status = JSON.parse(answer.body)
  assert.equal(status.reason, 'Invalid')
  assert.match(status.message, /^Service\.core\.riptides\.io "aws" is invalid: \[/)
  assert.deepEqual(
    status.details.causes.map(({ field }: { field: string }) => field),
    ['spec.labels.a', 'spec.addresses[0].bort'],
  )
  await assert.rejects(server.client.create(body as unknown as ResourceDraft), { code: 'RESOURCE_INVALID' })
})

test('what is accepted but not acted on comes with a warning', async () => {
  await using server = await openTestServer()
  await server.client.create({
    apiVersion: core,
    kind: 'CredentialSource',
    metadata: { name: 'gcp' },
    spec: { gcp: { oidcProviderId: 'x' } },
  })
  await server.client.create({
    apiVersion: core,
    kind: 'WorkloadIdentity',
    metadata: { name: 'app' },
    spec: { workloadID: 'my/app', scope: { daemon: { id: 'd/1' } }, selectors: [{ 'process:name': 'é"' }] },
  })
  assert.deepEqual(server.warnings, [
    'spec.gcp: accepted but not acted on yet',
    'AssumableByAnyLocalUser: a selector says what runs but not who runs it; add process:uid or systemd:unit',
  ])
})

test('bodies of another kind, name or namespace than the path are refused', async () => {
  await using server = await openTestServer()
  const services = `/apis/${core}/namespaces/riptides-system/services`
  await server.client.create(service())
  const cases: readonly [string, string, unknown][] = [
    ['POST', services, drafts[1]],
    ['POST', services, { ...service(), metadata: { name: 'a', namespace: 'other' } }],
    ['PUT', `${services}/aws`, { ...service(), metadata: { name: 'other' } }],
    ['POST', services, '[]'],
    ['POST', services, '{"a":'],
    ['POST', services, '{"__proto__":{"a":1}}'],
    ['POST', services, ''],
  ]
  for (const [method, path, body] of cases) {
    assert.equal(
      (await server.ask(method, path, { body })).status,
      400,
      `${method} ${path} ${JSON.stringify(body)}`,
    )
  }
  assert.equal((await server.ask('POST', services, { body: '{}', contentType: 'text/plain' })).status, 415)
  const large = { ...service(), metadata: { name: 'a', annotations: { a: 'x'.repeat(2_000_000) } } }
  assert.equal((await server.ask('POST', services, { body: large })).status, 413)
  assert.equal((await server.ask('GET', `/apis/${core}/namespaces/x/nothings`)).status, 404)
  assert.equal((await server.ask('GET', `/apis/other.io/v1/namespaces/x/services`)).status, 404)
  // Were it ignored, `delete -l` would delete everything.
  assert.equal((await server.ask('GET', `${services}?labelSelector=a%3Db`)).status, 400)
})

test('the plural is understood in its usual spellings', async () => {
  await using server = await openTestServer()
  await server.client.create(drafts[1]!)
  for (const plural of ['workloadidentitys', 'workloadidentities', 'workloadidentity']) {
    const answer = await server.ask('GET', `/apis/${core}/namespaces/riptides-system/${plural}/app`)
    assert.equal(answer.status, 200, plural)
  }
})

test('Kubernetes clients find the kinds by discovery', async () => {
  await using server = await openTestServer()
  const read = async (path: string) => JSON.parse((await server.ask('GET', path)).body)
  assert.deepEqual((await read('/api')).versions, ['v1'])
  const groups = (await read('/apis')).groups as { name: string }[]
  assert.deepEqual(groups.map(({ name }) => name).sort(), ['auth.riptides.io', 'core.riptides.io'])
  const { resources } = (await read(`/apis/${core}`)) as { resources: { name: string; kind: string }[] }
  assert.ok(resources.some(({ name, kind }) => name === 'workloadidentitys' && kind === 'WorkloadIdentity'))
  assert.equal((await read('/version')).gitVersion, 'v0.1.0')
})

test('a watch begins with what there is, follows, resumes, and says when it cannot', async () => {
  await using server = await openTestServer()
  const { client } = server
  const stop = new AbortController()
  const seen: string[] = []
  const first = await client.create(service())
  const watch = (async () => {
    for await (const { type, object } of client.watch('Service', { signal: stop.signal })) {
      seen.push(`${type} ${object.metadata.name} ${object.spec.labels['app']}`)
      if (type === 'DELETED') return
    }
  })()
  await client.waitFor('Service', 'aws', (object) => object !== undefined, { signal: stop.signal })
  await client.update(service({ app: 'y' }))
  await client.delete('Service', 'aws')
  await watch
  assert.equal(seen[0], seen.length === 3 ? 'ADDED aws x' : 'ADDED aws y')
  assert.equal(seen.at(-1), 'DELETED aws y')

  const resumed: string[] = []
  const { resourceVersion } = first.metadata
  for await (const { type, object } of client.watch('Service', { resourceVersion, signal: stop.signal })) {
    resumed.push(`${type} ${object.spec.labels['app']}`)
    if (resumed.length === 2) break
  }
  assert.deepEqual(resumed, ['MODIFIED y', 'DELETED y'])

  for (let count = 0; count < 2100; count++)
    await server.store.transaction([], [{ type: 'put', key: '/x', value: Buffer.from('x') }])
  const gone = Array.fromAsync(client.watch('Service', { resourceVersion, signal: stop.signal }))
  await assert.rejects(gone, { code: 'STORE_REVISION_GONE' })
})

test('waiting ends when the object says so, when it is deleted, and on abort', async () => {
  await using server = await openTestServer()
  const { client, resources } = server
  const { signal } = new AbortController()
  await client.create(service())
  const ok = client.waitFor('Service', 'aws', (object) => object?.status?.state === 'OK', { signal })
  await resources.updateStatus('Service', 'riptides-system', 'aws', { state: 'OK' })
  assert.equal((await ok)?.status?.state, 'OK')
  const deleted = client.waitFor('Service', 'aws', (object) => object === undefined, { signal })
  await client.delete('Service', 'aws')
  assert.equal(await deleted, undefined)
  const stop = new AbortController()
  const aborted = client.waitFor('Service', 'aws', (object) => object !== undefined, { signal: stop.signal })
  stop.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
})

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

test('the bootstrap token is made once, and only its hash is stored', async () => {
  await using server = await openTestServer()
  const { entries } = await server.store.list('/')
  for (const { key, value } of entries) {
    assert.doesNotMatch(key + Buffer.from(value).toString(), new RegExp(server.token.slice(0, 12)))
  }
  const again = await ensureBootstrapToken(server.store, {
    clock: openTestClock(),
    random: () => new Uint8Array(32),
  })
  assert.deepEqual(again, { created: false })
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

test('every write is in the audit trail, with who, what and how it ended', async () => {
  await using server = await openTestServer()
  const { client } = server
  await client.create(service())
  await client.update(service({ app: 'y' }))
  await assert.rejects(client.create(service()))
  await client.delete('Service', 'aws')
  await client.rotateKeys()
  const trail = await server.auditTrail()
  assert.deepEqual(
    trail.map(
      (record) => record.type === 'change' && [record.actor, record.verb, record.object, record.outcome],
    ),
    [
      ['system:admin', 'create', 'Service/aws', 'ok'],
      ['system:admin', 'update', 'Service/aws', 'ok'],
      ['system:admin', 'create', 'Service/aws', 'refused'],
      ['system:admin', 'delete', 'Service/aws', 'ok'],
      ['system:admin', 'rotate', 'key/k2', 'ok'],
    ],
  )
  const stop = new AbortController()
  const streamed = await Array.fromAsync(client.audit({ limit: 2, signal: stop.signal }))
  assert.deepEqual(streamed, trail.slice(-2))
  for await (const record of client.audit({ limit: 1, follow: true, signal: stop.signal })) {
    if (record.type === 'change' && record.verb === 'create') break
    await client.create(service())
  }
  assert.deepEqual(
    (await client.keys()).map(({ kid }) => kid),
    ['k1'],
  )
  assert.equal((await server.ask('GET', '/audit?limit=99999')).status, 400)
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

test('closing the server ends open watches', async () => {
  const server = await openTestServer()
  const { signal } = new AbortController()
  const watch = Array.fromAsync(server.client.watch('Service', { signal })).catch(() => [])
  await server.client.list('Service')
  await server[Symbol.asyncDispose]()
  assert.deepEqual(await watch, [])
})
