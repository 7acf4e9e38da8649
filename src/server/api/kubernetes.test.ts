// What a comparison with kube-apiserver found (test/peers/apiserver.test.ts), kept where no kube-apiserver is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { core, service } from './test-objects.ts'
import { openTestServer, type TestServer } from './test-server.ts'
import { applyAs, config, json, patch, path, secretPath, services } from './test-writes.ts'

const refused = async (answer: ReturnType<TestServer['ask']>) => {
  const { status, body } = await answer
  const { reason, details } = JSON.parse(body)
  return {
    status,
    reason,
    kind: details?.kind,
    fields: details?.causes?.map((one: { field: string }) => one.field),
  }
}

test('who is ahead of the store is told when to come back, and need not begin anew', async () => {
  await using server = await openTestServer()
  for (const match of ['', '&resourceVersionMatch=NotOlderThan', '&resourceVersionMatch=Exact']) {
    const answer = await server.ask('GET', `${services}?resourceVersion=99999${match}`)
    assert.equal(answer.status, 504, match)
    assert.equal(answer.headers['retry-after'], '1')
    assert.equal(json(answer).details.causes[0].reason, 'ResourceVersionTooLarge')
    assert.match(json(answer).message, /^Timeout: Too large resource version: 99999, current: \d+$/)
  }
})

test('options that are none are told as those of Kubernetes, all at once', async () => {
  await using server = await openTestServer()
  const body = service()
  const of = (kind: string, ...fields: string[]) => ({ status: 422, reason: 'Invalid', kind, fields })
  const both = 'resourceVersionMatch=Exact&continue=x'
  assert.deepEqual(
    await refused(server.ask('GET', `${services}?${both}`)),
    of('ListOptions', 'resourceVersionMatch', 'resourceVersionMatch'),
  )
  assert.deepEqual(
    await refused(server.ask('GET', `${services}?watch=1&continue=x`)),
    of('ListOptions', 'resourceVersionMatch'),
  )
  assert.equal((await server.ask('GET', `${services}?continue=x&resourceVersion=1`)).status, 400)
  for (const dryRun of ['Some', '']) {
    const url = `${services}?dryRun=${dryRun}`
    assert.deepEqual(await refused(server.ask('POST', url, { body })), of('CreateOptions', 'dryRun'))
    assert.deepEqual(await refused(server.ask('DELETE', url)), of('DeleteOptions', 'dryRun'))
  }
  assert.equal(json(await server.ask('GET', services)).items.length, 0)
})

test('nothing is deleted on conditions that are not understood', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const wrong = [
    { preconditions: 'x' },
    { preconditions: { uid: 5 } },
    { kind: 'Status' },
    { gracePeriodSeconds: 'soon' },
    { orphanDependents: 'yes' },
    { dryRun: ['Some'] },
    { propagationPolicy: 'Orphan', orphanDependents: true },
  ]
  for (const body of wrong) {
    const { status } = await server.ask('DELETE', path, { body })
    assert.ok(status === 400 || status === 422, `${status} ${JSON.stringify(body)}`)
  }
  assert.equal((await server.ask('DELETE', `${path}?gracePeriodSeconds=x`)).status, 400)
  assert.equal((await server.ask('GET', path)).status, 200)
  const fine = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    preconditions: null,
    gracePeriodSeconds: 0,
    other: 1,
  }
  assert.equal((await server.ask('DELETE', path, { body: fine })).status, 200)
})

test('the deletion of a collection goes as far as its limit, and says how to go on', async () => {
  await using server = await openTestServer()
  for (const name of ['a', 'b']) await server.client.create({ ...service(), metadata: { name } })
  const first = json(await server.ask('DELETE', `${services}?limit=1`))
  assert.equal(first.items.length, 1)
  assert.ok(first.metadata.continue)
  assert.equal(json(await server.ask('GET', services)).items.length, 1)
})

test('a patch cannot make another object of one', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const cases: readonly [object, string][] = [
    [{ metadata: { name: 'b' } }, 'metadata.name'],
    [{ metadata: { namespace: 'b' } }, 'metadata.namespace'],
    [{ kind: 'Daemon' }, 'kind'],
    [{ apiVersion: 'v1' }, 'apiVersion'],
  ]
  for (const [change, field] of cases) {
    const { status, fields } = await refused(patch(server, 'merge', path, change))
    assert.deepEqual({ status, fields }, { status: 422, fields: [field] })
  }
  assert.equal(
    (await patch(server, 'merge', path, { apiVersion: core, metadata: { name: 'aws' } })).status,
    200,
  )
})

test('a write answers in the form that was asked for, and is not done in none', async () => {
  await using server = await openTestServer()
  const as = (kind: string) => ({ headers: { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } })
  const nothing = { headers: { accept: 'image/png' } }
  assert.equal((await server.ask('POST', services, { body: service(), ...nothing })).status, 406)
  const partial = as('PartialObjectMetadata')
  const created = json(await server.ask('POST', services, { body: service(), ...partial }))
  assert.deepEqual(
    [created.kind, created.spec, created.metadata.name],
    ['PartialObjectMetadata', undefined, 'aws'],
  )
  const body = { metadata: { finalizers: ['example.org/a'] } }
  const contentType = 'application/merge-patch+json'
  assert.equal(json(await server.ask('PATCH', path, { contentType, body, ...as('Table') })).kind, 'Table')
  assert.equal(json(await server.ask('DELETE', path, partial)).kind, 'PartialObjectMetadata')
  assert.equal(json(await server.ask('DELETE', services, as('Table'))).rows.length, 1)
})

test('a patch is no object to create', async () => {
  await using server = await openTestServer()
  for (const [method, url] of [
    ['POST', services],
    ['PUT', path],
  ] as const) {
    const answer = await server.ask(method, url, {
      contentType: 'application/merge-patch+json',
      body: service(),
    })
    assert.equal(answer.status, 415)
    assert.match(json(answer).message, /media types include: application\/json, application\/yaml/)
  }
})

test('controllers are told that a namespace goes, and that a name is still taken by what is deleted', async () => {
  await using server = await openTestServer()
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } }
  await server.ask('POST', '/api/v1/namespaces', { body: namespace })
  await server.ask('DELETE', '/api/v1/namespaces/team')
  const late = await server.ask('POST', services.replace('riptides-system', 'team'), { body: service() })
  assert.equal(late.status, 403)
  assert.equal(json(late).details.causes[0].reason, 'NamespaceTerminating')
  await server.client.create({ ...service(), metadata: { name: 'aws', finalizers: ['example.org/a'] } })
  await server.ask('DELETE', path)
  const again = await server.ask('POST', services, { body: service() })
  assert.equal(again.status, 409)
  assert.match(
    json(again).message,
    /^object is being deleted: services.core.riptides.io "aws" already exists$/,
  )
})

test('an object of which nobody keeps count is counted from when it is applied, its status apart', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const reset = await patch(server, 'merge', path, { metadata: { managedFields: [{}] } })
  assert.equal(json(reset).metadata.managedFields, undefined)
  const changed = await patch(server, 'merge', `${path}?fieldManager=editor`, { spec: { external: true } })
  assert.equal(json(changed).metadata.managedFields, undefined)
  const conflict = await applyAs(server, 'late', config({ labels: { app: 'other' } }))
  assert.match(
    json(conflict).message,
    /conflict with "before-first-apply" using core.riptides.io\/v1alpha1: .spec.labels.app$/,
  )
  const [late, before] = json(await applyAs(server, 'late', config({ labels: { app: 'x' } }))).metadata
    .managedFields
  assert.deepEqual([late.manager, before.manager], ['late', 'before-first-apply'])
  assert.equal(before.fieldsV1['f:status'], undefined)
})

test('what is applied to one object does not make another in its place', async () => {
  await using server = await openTestServer()
  const uid = '6d9c6d5e-6f0b-4a52-8d6f-0d0b0c0a0b0c'
  const answer = await applyAs(server, 'one', config({ labels: {} }, { uid }))
  assert.equal(answer.status, 409)
  assert.match(
    json(answer).message,
    /uid mismatch: the provided object specified uid .* no existing object was found/,
  )
  assert.equal((await server.ask('GET', path)).status, 404)
})

test('what kubectl remembers of an object in an annotation may be as large as the object', async () => {
  await using server = await openTestServer()
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(200_000) }
  const body = { ...service(), metadata: { name: 'aws', annotations } }
  assert.equal((await server.ask('POST', services, { body })).status, 201)
})

test('a URL that is none, and a namespace that is forgotten in one, are answered as anything else', async () => {
  await using server = await openTestServer()
  const malformed = await server.ask('GET', `${services}/%zz`, { authorization: null })
  assert.equal(malformed.status, 400)
  assert.equal(json(malformed).kind, 'Status')
  assert.ok(!malformed.body.includes('%zz'))
  assert.equal(malformed.headers['x-content-type-options'], 'nosniff')
  assert.equal((await server.ask('GET', `/apis/${core}/namespaces//services`)).status, 404)
  assert.equal((await server.ask('POST', `${secretPath}/status`, { body: {} })).status, 405)
})

test('a kind that Kubernetes has itself is told by the path where the body does not say it', async () => {
  await using server = await openTestServer()
  const of = (kind: string) => `/api/v1/namespaces/riptides-system/${kind}`
  const metadata = { name: 'unmarked' }
  for (const marks of [{}, { kind: '', apiVersion: '' }, { kind: null, apiVersion: null }]) {
    const body = { ...marks, metadata }
    const made = await server.ask('POST', of('serviceaccounts'), { body })
    assert.equal(made.status, 201, made.body)
    assert.deepEqual([json(made).apiVersion, json(made).kind], ['v1', 'ServiceAccount'])
    assert.equal((await server.ask('PUT', `${of('serviceaccounts')}/unmarked`, { body })).status, 200)
    assert.equal((await server.ask('DELETE', `${of('serviceaccounts')}/unmarked`)).status, 200)
  }
  const other = { kind: 'Secret', metadata }
  assert.equal((await server.ask('POST', of('serviceaccounts'), { body: other })).status, 400)
  const applied = await server.ask('PATCH', `${of('serviceaccounts')}/unmarked?fieldManager=x`, {
    contentType: 'application/apply-patch+yaml',
    body: { metadata },
  })
  assert.equal(applied.status, 400)
  const { kind: _, ...kindless } = service()
  assert.equal((await server.ask('POST', services, { body: kindless })).status, 400)
})
