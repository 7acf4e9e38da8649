import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { auth, core, service, token, value } from './test-objects.ts'
import { openTestServer, type TestServer } from './test-server.ts'
import { applyAs, config, json, patch, path, secretPath, services } from './test-writes.ts'

test('kubectl apply keeps the names of values, never the values', async () => {
  await using server = await openTestServer()
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const manifest = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { key: value } }
  const created = await server.ask('POST', '/api/v1/namespaces/riptides-system/secrets', {
    body: { ...manifest, metadata: { name: 'api', annotations: { [annotation]: JSON.stringify(manifest) } } },
  })
  assert.equal(created.status, 201)
  assert.deepEqual(JSON.parse(json(created).metadata.annotations[annotation]).stringData, { key: '' })
  assert.ok(!created.body.includes(value))
})

test('kubectl apply finds what it applied of a join token or a provider, without their secrets', async () => {
  await using server = await openTestServer()
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const jointoken = {
    apiVersion: auth,
    kind: 'JoinToken',
    metadata: { name: 'node' },
    spec: { token, workloadID: 'd/1' },
  }
  const google = { clientID: 'c', clientSecret: value, requiredHostedDomains: ['example.org'] }
  const provider = {
    apiVersion: core,
    kind: 'IdentityProvider',
    metadata: { name: 'corp' },
    spec: { name: 'Corp', google },
  }
  for (const [group, plural, manifest, spec] of [
    [auth, 'jointokens', jointoken, { token: '', workloadID: 'd/1' }],
    [core, 'identityproviders', provider, { name: 'Corp', google: { ...google, clientSecret: '' } }],
  ] as const) {
    const annotations = { [annotation]: JSON.stringify(manifest) }
    const body = { ...manifest, metadata: { ...manifest.metadata, annotations } }
    const created = await server.ask('POST', `/apis/${group}/namespaces/riptides-system/${plural}`, { body })
    assert.equal(created.status, 201, created.body)
    assert.deepEqual(JSON.parse(json(created).metadata.annotations[annotation]).spec, spec)
    assert.ok(!created.body.includes(token) && !created.body.includes(value))
  }
})

test('applied configurations own what they say, conflict over it, and remove what they no longer say', async () => {
  await using server = await openTestServer()
  const one = await applyAs(server, 'one', config({ labels: { app: 'x', tier: 'a' } }))
  assert.equal(one.status, 201, one.body)
  assert.deepEqual(
    json(one).metadata.managedFields.map(({ time: _time, ...entry }: { time: string }) => entry),
    [
      {
        manager: 'one',
        operation: 'Apply',
        apiVersion: core,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': { 'f:labels': { 'f:app': {}, 'f:tier': {} } } },
      },
    ],
  )
  const conflict = await applyAs(server, 'two', config({ labels: { app: 'y' } }))
  assert.equal(conflict.status, 409)
  const { reason, message, details } = json(conflict)
  assert.equal(reason, 'Conflict')
  assert.equal(message, 'Apply failed with 1 conflict: conflict with "one": .spec.labels.app')
  assert.deepEqual(details.causes, [
    { reason: 'FieldManagerConflict', field: '.spec.labels.app', message: 'conflict with "one"' },
  ])
  const forced = await applyAs(server, 'two', config({ labels: { app: 'y' } }), '&force=true')
  assert.equal(forced.status, 200)
  assert.deepEqual(json(forced).spec.labels, { app: 'y', tier: 'a' })
  const less = await applyAs(server, 'one', config({ labels: {} }))
  assert.deepEqual(json(less).spec.labels, { app: 'y' })
  const again = await applyAs(server, 'one', config({ labels: {} }))
  assert.equal(json(again).metadata.resourceVersion, json(less).metadata.resourceVersion)
})

test('the last label that a configuration gave goes with it, and the object keeps its name', async () => {
  await using server = await openTestServer()
  const labels = { a: 'b' }
  assert.equal((await applyAs(server, 'one', config({ labels: {} }, { labels }))).status, 201)
  const less = await applyAs(server, 'one', config({ labels: {} }))
  assert.equal(less.status, 200, less.body)
  assert.equal(json(less).metadata.labels, undefined)
  assert.equal(json(less).metadata.name, 'aws')
})

test('a list whose items have keys is refused with one of them twice, in every way of writing', async () => {
  await using server = await openTestServer()
  const owner = { apiVersion: 'v1', kind: 'Secret', name: 'a', uid: 'u' }
  const twice = config({ labels: {} }, { ownerReferences: [owner, { ...owner, name: 'b' }] })
  const created = await server.ask('POST', services, { body: twice })
  const applied = await applyAs(server, 'one', twice)
  await server.client.create(service())
  const patched = await patch(server, 'merge', path, {
    metadata: { finalizers: ['x.example/a', 'x.example/a'] },
  })
  for (const [answer, field, value] of [
    [created, 'metadata.ownerReferences[1]', { uid: 'u' }],
    [applied, 'metadata.ownerReferences[1]', { uid: 'u' }],
    [patched, 'metadata.finalizers[1]', 'x.example/a'],
  ] as const) {
    assert.equal(answer.status, 422, answer.body)
    assert.deepEqual(json(answer).details.causes, [
      { reason: 'FieldValueDuplicate', field, message: `Duplicate value: ${JSON.stringify(value)}` },
    ])
  }
})

describe('whoever applied from the client goes on to apply in the server', () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const labelled = (labels: object) => config({ labels })

  async function appliedFromClient(server: TestServer) {
    const annotations = { [annotation]: JSON.stringify(labelled({ app: 'x' })) }
    const query = '?fieldManager=kubectl-client-side-apply'
    const created = await server.ask('POST', `${services}${query}`, {
      body: config({ labels: { app: 'x' } }, { annotations }),
    })
    assert.equal(created.status, 201, created.body)
  }

  test('with an older kubectl: what it set is no conflict, and it can go back', async () => {
    await using server = await openTestServer()
    await appliedFromClient(server)
    const other = await applyAs(server, 'gitops', labelled({ app: 'y' }))
    assert.equal(other.status, 409)
    const applied = await applyAs(server, 'kubectl', labelled({ app: 'y' }))
    assert.equal(applied.status, 200, applied.body)
    assert.deepEqual(json(applied).spec.labels, { app: 'y' })
    const noted = JSON.parse(json(applied).metadata.annotations[annotation])
    assert.deepEqual(noted.spec, { labels: { app: 'y' } })
  })

  test('what somebody else has changed since then is a conflict', async () => {
    await using server = await openTestServer()
    await appliedFromClient(server)
    const changed = await patch(server, 'merge', `${path}?fieldManager=editor`, {
      spec: { labels: { app: 'z' } },
    })
    assert.equal(changed.status, 200)
    const refused = await applyAs(server, 'kubectl', labelled({ app: 'y' }))
    assert.equal(refused.status, 409)
    assert.match(json(refused).message, /conflict with "editor"/)
  })

  test('with a newer kubectl, which moves its own fields to the manager that applies', async () => {
    await using server = await openTestServer()
    await appliedFromClient(server)
    const { metadata } = json(await server.ask('GET', path))
    const [entry] = metadata.managedFields
    const moved = await patch(server, 'json', path, [
      {
        op: 'replace',
        path: '/metadata/managedFields',
        value: [{ ...entry, manager: 'kubectl', operation: 'Apply' }],
      },
      { op: 'replace', path: '/metadata/resourceVersion', value: metadata.resourceVersion },
    ])
    assert.equal(moved.status, 200, moved.body)
    const applied = await applyAs(server, 'kubectl', labelled({ tier: 'a' }))
    assert.equal(applied.status, 200, applied.body)
    assert.deepEqual(json(applied).spec.labels, { tier: 'a' })
    assert.deepEqual(
      json(applied).metadata.managedFields.map(({ manager }: { manager: string }) => manager),
      ['kubectl'],
    )
  })
})

test('a configuration may be YAML; one that is no object, has managers or comes from nobody is refused', async () => {
  await using server = await openTestServer()
  const yaml = `apiVersion: ${core}\nkind: Service\nmetadata: {name: aws}\nspec: {labels: {app: x}}\n`
  assert.equal((await applyAs(server, 'one', yaml)).status, 201)
  const nobody = await patch(server, 'apply', path, yaml)
  assert.equal(nobody.status, 422)
  assert.equal(
    json(nobody).message,
    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
  )
  const managed = config({ labels: {} }, { managedFields: [{}] })
  assert.match(json(await applyAs(server, 'one', managed)).message, /managedFields must be nil/)
  for (const body of ['[', 'a: [', 'a: 1\na: 2', '- 1', 'text', '&a [*a]']) {
    assert.equal((await applyAs(server, 'one', body)).status, 400, body)
  }
  assert.equal((await patch(server, 'merge', `${path}?force=true`, {})).status, 422)
  const missing = await applyAs(server, 'two', { ...config({}), metadata: { name: 'other' } })
  assert.equal(missing.status, 400)
})

test('every write is owned by its field manager or program, the status apart', async () => {
  await using server = await openTestServer()
  await server.ask('POST', `${services}?fieldManager=maker`, { body: service() })
  await patch(server, 'merge', `${path}?fieldManager=changer`, { spec: { labels: { app: 'y' } } })
  await patch(server, 'merge', `${path}/status?fieldManager=judge`, { status: { state: 'OK' }, spec: null })
  await server.resources.updateStatus('Service', 'riptides-system', 'aws', { state: 'OK', message: 'm' })
  const object = json(await server.ask('GET', path))
  assert.deepEqual(object.spec.labels, { app: 'y' })
  const managers = object.metadata.managedFields as {
    manager: string
    subresource?: string
    fieldsV1: Record<string, object>
  }[]
  const owned = Object.fromEntries(
    managers.map((entry) => [entry.manager, [entry.subresource, entry.fieldsV1]]),
  )
  assert.deepEqual(owned['changer'], [undefined, { 'f:spec': { 'f:labels': { 'f:app': {} } } }])
  assert.deepEqual(owned['judge'], ['status', { 'f:status': { 'f:state': {} } }])
  assert.deepEqual(owned['tideway'], ['status', { 'f:status': { 'f:message': {} } }])
  assert.ok(!JSON.stringify(owned['maker']).includes('f:app"'))
  const reset = await patch(server, 'merge', path, { metadata: { managedFields: [{}] } })
  assert.equal(json(reset).metadata.managedFields, undefined)
})

test('write-only fields are owned by name and never shown, however they are applied', async () => {
  await using server = await openTestServer()
  const tokens = `/apis/${auth}/namespaces/riptides-system/jointokens/node`
  const manifest = { apiVersion: auth, kind: 'JoinToken', metadata: { name: 'node' }, spec: { token } }
  const applied = await patch(server, 'apply', `${tokens}?fieldManager=one`, manifest)
  assert.equal(applied.status, 201)
  const again = await patch(server, 'apply', `${tokens}?fieldManager=one`, manifest)
  assert.equal(json(again).metadata.resourceVersion, json(applied).metadata.resourceVersion)
  const other = { ...manifest, spec: { token: `${token}-another` } }
  const conflict = await patch(server, 'apply', `${tokens}?fieldManager=two`, other)
  assert.equal(conflict.status, 409)
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { key: value } }
  const made = await patch(server, 'apply', `${secretPath}?fieldManager=one`, secret)
  assert.deepEqual(json(made).metadata.managedFields[0].fieldsV1, { 'f:data': { 'f:key': {} } })
  const emptied = await patch(server, 'apply', `${secretPath}?fieldManager=one`, {
    ...secret,
    stringData: {},
  })
  assert.equal(emptied.status, 200)
  assert.deepEqual([...(await server.resources.secretData('riptides-system', 'api'))!.keys()], [])
  for (const { body } of [applied, again, conflict, made, emptied]) {
    assert.ok(!body.includes(token) && !body.includes(value) && !body.includes('data":{"key"'))
  }
})

test('a status is applied to the object and the version that the configuration names, or to none', async () => {
  await using server = await openTestServer()
  const { metadata } = await server.client.create(service())
  const apply = (given: object) =>
    patch(server, 'apply', `${path}/status?fieldManager=one&force=true`, {
      ...config({}, given),
      status: { message: 'well' },
    })
  const other = await apply({ uid: '00000000-0000-4000-8000-000000000000' })
  assert.equal(other.status, 409, other.body)
  assert.match(json(other).message, /UID in precondition/)
  const old = await apply({ resourceVersion: '1' })
  assert.equal(old.status, 409, old.body)
  assert.match(json(old).message, /the object has been modified/)
  const { uid, resourceVersion } = metadata
  const written = await apply({ uid, resourceVersion })
  assert.equal(written.status, 200, written.body)
  assert.equal(json(written).status.message, 'well')
})
