import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { auth, core, service, token, value } from './test-objects.ts'
import { openTestServer, type Answer, type TestServer } from './test-server.ts'

const services = `/apis/${core}/namespaces/riptides-system/services`
const path = `${services}/aws`
const secretPath = '/api/v1/namespaces/riptides-system/secrets/api'

const types = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

const patch = (server: TestServer, type: keyof typeof types, to: string, body: unknown) =>
  server.ask('PATCH', to, { contentType: types[type], body })

const applyAs = (server: TestServer, manager: string, body: unknown, query = '') =>
  patch(server, 'apply', `${path}?fieldManager=${manager}${query}`, body)

const json = ({ body }: Answer) => JSON.parse(body)

const config = (spec: object, metadata: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'aws', ...metadata },
  spec,
})

test('a JSON patch is applied in whole or not at all, and says which operation does not fit', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const changed = await patch(server, 'json', path, [
    { op: 'test', path: '/spec/labels/app', value: 'x' },
    { op: 'replace', path: '/spec/labels/app', value: 'y' },
    { op: 'add', path: '/metadata/annotations', value: { a: 'b' } },
  ])
  assert.equal(changed.status, 200)
  assert.deepEqual(json(changed).spec.labels, { app: 'y' })
  assert.equal(json(changed).metadata.generation, 2)

  const cases: readonly [unknown, RegExp][] = [
    [
      [
        { op: 'replace', path: '/spec/labels/app', value: 'z' },
        { op: 'test', path: '/spec/labels/app', value: 'x' },
      ],
      /patch\[1\]: Invalid value: test \/spec\/labels\/app: the value is another/,
    ],
    [[{ op: 'remove', path: '/spec/none' }], /there is no such path/],
    [[{ op: 'guess', path: '/spec' }], /not an operation of RFC 6902/],
    [[{ op: 'add', path: '/__proto__/a', value: 1 }], /not an operation/],
    [{ op: 'add' }, /a JSON patch is a list/],
    [[{ op: 'remove', path: '' }], /the whole object/],
  ]
  for (const [body, message] of cases) {
    const refused = await patch(server, 'json', path, body)
    assert.equal(refused.status, 422, refused.body)
    assert.equal(json(refused).reason, 'Invalid')
    assert.match(json(refused).message, message)
  }
  assert.deepEqual((await server.client.get('Service', 'aws')).spec.labels, { app: 'y' })
})

test('copies within a JSON patch do not grow without bound', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const grow = Array.from({ length: 60 }, (_, index) => ({
    op: 'copy',
    from: '/metadata',
    path: `/metadata/x${index}`,
  }))
  const refused = await patch(server, 'json', path, grow)
  assert.equal(refused.status, 422)
  assert.match(json(refused).message, /copies too much/)
})

test('strategic merge patches are for the kinds that Kubernetes has itself', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const refused = await patch(server, 'strategic', path, {})
  assert.equal(refused.status, 415)
  assert.equal(
    json(refused).message,
    'the body of the request was in an unknown format - accepted media types include: ' +
      'application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml',
  )
  await server.client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'api', finalizers: ['example.org/a', 'example.org/b'] },
    stringData: { key: value, other: 'o' },
  })
  const patched = await patch(server, 'strategic', secretPath, {
    metadata: {
      labels: { a: 'b' },
      '$deleteFromPrimitiveList/finalizers': ['example.org/a'],
      '$setElementOrder/finalizers': ['example.org/c', 'example.org/b'],
      finalizers: ['example.org/c'],
    },
    data: { other: null, third: 'Mw==' },
  })
  assert.equal(patched.status, 200, patched.body)
  assert.deepEqual(json(patched).metadata.labels, { a: 'b' })
  assert.deepEqual(json(patched).metadata.finalizers, ['example.org/c', 'example.org/b'])
  const data = await server.resources.secretData('riptides-system', 'api')
  assert.deepEqual([...data!.keys()], ['key', 'third'])
})

test('no patch carries a value of a Secret to where it can be read', async () => {
  await using server = await openTestServer()
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret' as const,
    metadata: { name: 'api' },
    stringData: { key: value },
  }
  await server.client.create(secret)
  const base64 = Buffer.from(value).toString('base64')
  for (const to of ['/metadata/annotations', '/metadata/labels', '/type', '/stringData']) {
    for (const op of ['copy', 'move']) {
      const refused = await patch(server, 'json', secretPath, [{ op, from: '/data', path: to }])
      assert.equal(refused.status, 422, refused.body)
      assert.ok(!refused.body.includes(base64) && !refused.body.includes(value))
    }
  }
  const tested = await patch(server, 'json', secretPath, [{ op: 'test', path: '/data/key', value: base64 }])
  assert.equal(tested.status, 422)
  const moved = await patch(server, 'json', secretPath, [
    { op: 'move', from: '/data/key', path: '/data/new' },
  ])
  assert.equal(moved.status, 200)
  assert.ok(!moved.body.includes(base64))
  const data = await server.resources.secretData('riptides-system', 'api')
  assert.deepEqual(
    [...data!].map(([key, text]) => [key, text.revealText()]),
    [['new', value]],
  )
})

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

test('unknown fields are refused, warned of or dropped, as the request says', async () => {
  await using server = await openTestServer()
  const body = {
    ...service(),
    spec: { labels: { app: 'x' }, colour: 'red', addresses: [{ address: 'a.b', bort: 1 }] },
  }
  const strict = await server.ask('POST', services, { body })
  assert.equal(strict.status, 422)
  assert.deepEqual(
    json(strict).details.causes.map(({ field }: { field: string }) => field),
    ['spec.colour', 'spec.addresses[0].bort'],
  )
  const warned = await server.ask('POST', `${services}?fieldValidation=Warn`, { body })
  assert.equal(warned.status, 201)
  assert.match(String(warned.headers['warning']), /299 - "unknown field \\"spec\.colour\\""/)
  assert.deepEqual(json(warned).spec, { labels: { app: 'x' }, addresses: [{ address: 'a.b' }] })
  const dropped = await server.ask('PUT', `${path}?fieldValidation=Ignore`, { body })
  assert.equal(dropped.headers['warning'], undefined)
  assert.equal((await server.ask('PUT', `${path}?fieldValidation=Perhaps`, { body })).status, 400)
})

test('what has finalizers is deleted when the last of them goes, and gets no new ones', async () => {
  await using server = await openTestServer()
  const finalizers = ['example.org/a', 'example.org/b']
  await server.client.create({ ...service(), metadata: { name: 'aws', finalizers } })
  const begun = await server.ask('DELETE', path)
  assert.equal(begun.status, 200)
  assert.equal(json(begun).kind, 'Service')
  assert.match(json(begun).metadata.deletionTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.equal(json(begun).metadata.generation, 2)
  const more = await patch(server, 'merge', path, {
    metadata: { finalizers: [...finalizers, 'example.org/c'] },
  })
  assert.equal(more.status, 422)
  assert.match(json(more).message, /no new finalizers can be added if the object is being deleted/)
  const one = await patch(server, 'merge', path, { metadata: { finalizers: ['example.org/b'] } })
  assert.equal(json(one).metadata.deletionTimestamp, json(begun).metadata.deletionTimestamp)
  const last = await patch(server, 'json', path, [{ op: 'remove', path: '/metadata/finalizers' }])
  assert.equal(last.status, 200)
  assert.equal((await server.ask('GET', path)).status, 404)
})

test('propagation policies are kept as finalizers until somebody acts on them', async () => {
  await using server = await openTestServer()
  const finalizersAfter = async (body: object, query = '') => {
    await server.client.create(service())
    const answer = await server.ask('DELETE', path + query, { body })
    const { finalizers } = json(answer).metadata
    if (finalizers) await patch(server, 'merge', path, { metadata: { finalizers: null } })
    assert.equal((await server.ask('GET', path)).status, 404)
    return finalizers
  }
  assert.equal(await finalizersAfter({}), undefined)
  assert.equal(await finalizersAfter({ propagationPolicy: 'Background' }), undefined)
  assert.deepEqual(await finalizersAfter({ propagationPolicy: 'Foreground' }), ['foregroundDeletion'])
  assert.deepEqual(await finalizersAfter({ orphanDependents: true }), ['orphan'])
  assert.deepEqual(await finalizersAfter({}, '?propagationPolicy=Orphan'), ['orphan'])
  await server.client.create(service())
  assert.equal((await server.ask('DELETE', path, { body: { propagationPolicy: 'Some' } })).status, 400)
})

test('a dry run of any verb answers and changes nothing', async () => {
  await using server = await openTestServer()
  const { metadata } = await server.client.create(service())
  const attempts = [
    server.ask('PUT', `${path}?dryRun=All`, { body: service({ app: 'y' }) }),
    patch(server, 'merge', `${path}?dryRun=All`, { spec: { labels: { app: 'y' } } }),
    patch(server, 'json', `${path}?dryRun=All`, [{ op: 'replace', path: '/spec/labels/app', value: 'y' }]),
    applyAs(server, 'one', config({ labels: { app: 'y' } }), '&force=true&dryRun=All'),
    patch(server, 'merge', `${path}/status?dryRun=All`, { status: { state: 'OK' } }),
    server.ask('DELETE', path, { body: { dryRun: ['All'] } }),
    server.ask('DELETE', `${services}?dryRun=All`),
    server.ask('DELETE', path, { body: { dryRun: ['All'], propagationPolicy: 'Foreground' } }),
  ]
  for (const answer of await Promise.all(attempts)) assert.equal(answer.status, 200, answer.body)
  const { metadata: after } = await server.client.get('Service', 'aws')
  assert.equal(after.resourceVersion, metadata.resourceVersion)
})

test('a collection is deleted as far as its selectors say', async () => {
  await using server = await openTestServer()
  for (const [name, tier] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
  ] as const) {
    await server.client.create({ ...service(), metadata: { name, labels: { tier } } })
  }
  const deleted = await server.ask('DELETE', `${services}?labelSelector=tier%3Dx`)
  assert.equal(deleted.status, 200)
  assert.deepEqual(
    json(deleted).items.map(({ metadata }: { metadata: { name: string } }) => metadata.name),
    ['a', 'b'],
  )
  const { items } = await server.client.list('Service')
  assert.deepEqual(
    items.map(({ metadata }) => metadata.name),
    ['c'],
  )
})

test('a uid never changes, and a version that is not the present one is a conflict for every verb', async () => {
  await using server = await openTestServer()
  const { metadata } = await server.client.create(service())
  const wrong = [
    patch(server, 'merge', path, { metadata: { uid: 'another' } }),
    patch(server, 'merge', path, { metadata: { resourceVersion: '999' } }),
    applyAs(server, 'one', config({ labels: { app: 'x' } }, { resourceVersion: '999' })),
    server.ask('PUT', `${path}/status`, {
      body: { ...service(), metadata: { name: 'aws', resourceVersion: '999' } },
    }),
    server.ask('DELETE', path, { body: { preconditions: { resourceVersion: '999' } } }),
  ]
  for (const answer of await Promise.all(wrong)) {
    assert.equal(answer.status, 409, answer.body)
    assert.equal(json(answer).reason, 'Conflict')
  }
  const { resourceVersion, uid } = metadata
  const right = await patch(server, 'merge', path, { metadata: { resourceVersion, uid, labels: { a: 'b' } } })
  assert.equal(right.status, 200)
})

test('the status of a namespace has a path of its own, and says what becomes of it', async () => {
  await using server = await openTestServer()
  await server.ask('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } },
  })
  assert.deepEqual(json(await server.ask('GET', '/api/v1/namespaces/team/status')).status, {
    phase: 'Active',
  })
  const going = json(await server.ask('DELETE', '/api/v1/namespaces/team'))
  assert.deepEqual([going.status, going.metadata.finalizers], [{ phase: 'Terminating' }, ['kubernetes']])
  const late = await server.ask('POST', `/apis/${core}/namespaces/team/services`, { body: service() })
  assert.equal(late.status, 403)
  assert.match(json(late).message, /because it is being terminated/)
})
