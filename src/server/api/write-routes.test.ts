import assert from 'node:assert/strict'
import { test } from 'node:test'
import { service } from './test-objects.ts'
import { openTestServer } from './test-server.ts'
import { applyAs, config, json, patch, path, services } from './test-writes.ts'

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
  assert.equal((await server.ask('PUT', `${path}?fieldValidation=Perhaps`, { body })).status, 422)
})

test('unknown fields of a status are refused, warned of or dropped as others are', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const status = { message: 'well', mood: 'blue' }
  for (const [write, query] of [
    [(to: string) => server.ask('PUT', to, { body: { ...service(), status } }), '?'],
    [(to: string) => patch(server, 'merge', to, { status }), '?'],
    [(to: string) => patch(server, 'apply', to, { ...config({}), status }), '?fieldManager=one&'],
  ] as const) {
    const to = `${path}/status${query}fieldValidation=`
    const strict = await write(`${to}Strict`)
    assert.equal(strict.status, 422)
    assert.match(json(strict).message, /status\.mood: unknown field/)
    const warned = await write(`${to}Warn`)
    assert.equal(warned.status, 200, warned.body)
    assert.equal(warned.headers['warning'], '299 - "unknown field \\"status.mood\\""')
    assert.equal(json(warned).status.mood, undefined)
    const dropped = await write(`${to}Ignore`)
    assert.equal(dropped.status, 200, dropped.body)
    assert.equal(dropped.headers['warning'], undefined)
    assert.doesNotMatch(dropped.body, /mood/)
  }
})

test('nobody owns an unknown field that was applied and dropped, and managedFields of null are none', async () => {
  await using server = await openTestServer()
  const applied = config({ labels: { app: 'x' }, colour: 'red' }, { managedFields: null })
  const answer = await applyAs(server, 'one', applied, '&fieldValidation=Ignore')
  assert.equal(answer.status, 201, answer.body)
  const [entry] = json(answer).metadata.managedFields
  assert.deepEqual(entry.fieldsV1, { 'f:spec': { 'f:labels': { 'f:app': {} } } })
  const again = await applyAs(server, 'one', applied, '&fieldValidation=Warn')
  assert.equal(again.status, 200, again.body)
  assert.equal(again.headers['warning'], '299 - "unknown field \\"spec.colour\\""')
})

test('of a thousand errors the first hundred are told, and of as many warnings what fits into the headers', async () => {
  await using server = await openTestServer()
  const withAddresses = (count: number, address: object) => ({
    ...service(),
    spec: { labels: { app: 'x' }, addresses: Array.from({ length: count }, () => address) },
  })
  const refused = async (count: number) => {
    const { status, body } = await server.ask('POST', services, {
      body: withAddresses(count, { address: 'a b' }),
    })
    assert.equal(status, 422)
    const { message, details } = JSON.parse(body)
    return { message, fields: details.causes.map(({ field }: { field: string }) => field) }
  }
  const hundred = await refused(100)
  assert.equal(hundred.fields.length, 100)
  assert.equal(hundred.fields.at(-1), 'spec.addresses[99].address')
  const thousand = await refused(1000)
  assert.deepEqual(thousand.fields, [...hundred.fields, ''])
  assert.match(thousand.message, /, Invalid value: more is wrong than these 100 errors\]$/)

  const warned = await server.ask('POST', services, {
    body: withAddresses(1000, { address: 'a.example', networkNames: ['x'] }),
  })
  assert.equal(warned.status, 201)
  const warnings = String(warned.headers['warning'])
  assert.match(warnings, /^299 - "spec\.addresses\[0\]\.networkNames: accepted/)
  assert.match(warnings, /, 299 - "there are more warnings"$/)
  assert.ok(warnings.length < 8192)
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

test('empty texts of metadata are texts that are left out, as clients in Go write them', async () => {
  await using server = await openTestServer()
  const empty = { resourceVersion: '', uid: '', generateName: '', namespace: '', selfLink: '' }
  const body = { ...service(), metadata: { name: 'aws', ...empty } }
  assert.equal((await server.ask('POST', services, { body })).status, 201)
  assert.equal((await server.ask('PUT', path, { body })).status, 200)
  const patched = await patch(server, 'merge', path, {
    metadata: { ...empty, labels: { a: 'b' } },
  })
  assert.equal(patched.status, 200, patched.body)
  const generated = { ...service(), metadata: { ...empty, name: '', generateName: 'made-' } }
  const made = await server.ask('POST', services, { body: generated })
  assert.match(json(made).metadata.name, /^made-[a-z0-9]{5}$/)
})

test('a method that a path does not have, and a kind that there is not, are said before the body is read', async () => {
  await using server = await openTestServer()
  for (const [method, to] of [
    ['POST', path],
    ['PUT', services],
    ['PATCH', services],
  ] as const) {
    const refused = await server.ask(method, to, { body: {} })
    assert.equal(refused.status, 405)
    assert.equal(json(refused).reason, 'MethodNotAllowed')
  }
  const contentType = 'application/vnd.kubernetes.protobuf'
  const unknown = await server.ask('POST', '/api/v1/namespaces/default/configmaps', {
    contentType,
    body: 'x',
  })
  assert.equal(unknown.status, 404)
  const nameless = await server.ask('DELETE', `${services}/`)
  assert.equal(nameless.status, 404, 'a deletion whose name came out empty is not one of all objects')
})
