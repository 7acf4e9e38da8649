import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitionOf, kinds, type ResourceDraft } from '#model/resource'
import { core, drafts, service, value } from './test-objects.ts'
import { openTestServer } from './test-server.ts'

test('every kind is created, read, listed, changed and deleted over HTTPS on SQLite', async () => {
  await using server = await openTestServer({ kind: 'sqlite' })
  const { client } = server
  assert.deepEqual(drafts.map(({ kind }) => kind).sort(), kinds.map(({ kind }) => kind).sort())
  for (const draft of drafts) {
    const { kind, metadata } = draft
    const created = await client.create(draft)
    assert.equal(
      created.metadata.namespace,
      definitionOf(kind).scope === 'Cluster' ? undefined : 'riptides-system',
    )
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
    // What lies in it goes first.
    if (kind === 'Namespace') continue
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
  assert.ok(!('resourceVersion' in object.metadata), 'there is no version of what is not kept')
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
  const judged = await server.ask('PATCH', path, { contentType, body: { status: { state: 'OK' } } })
  assert.equal(JSON.parse(judged.body).status.state, 'PENDING')
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
  assert.equal(created.status?.state, 'PENDING')
  const answer = await server.ask('PUT', `${path}/status`, {
    body: { ...created, status: { state: 'OK', message: 'm' } },
  })
  assert.equal(answer.status, 200)
  const updated = await server.client.get('Service', 'aws')
  assert.deepEqual([updated.status?.message, updated.metadata.generation], ['m', 1])
  const wrong = await server.ask('PUT', `${path}/status`, {
    body: { ...updated, status: { state: 'WRONG' } },
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
})

test('the plural is understood in its usual spellings', async () => {
  await using server = await openTestServer()
  await server.client.create(drafts[1]!)
  for (const plural of ['workloadidentitys', 'workloadidentities', 'workloadidentity']) {
    const answer = await server.ask('GET', `/apis/${core}/namespaces/riptides-system/${plural}/app`)
    assert.equal(answer.status, 200, plural)
  }
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

test('closing the server ends open watches', async () => {
  const server = await openTestServer()
  const { signal } = new AbortController()
  const watch = Array.fromAsync(server.client.watch('Service', { signal })).catch(() => [])
  await server.client.list('Service')
  await server[Symbol.asyncDispose]()
  assert.deepEqual(await watch, [])
})
