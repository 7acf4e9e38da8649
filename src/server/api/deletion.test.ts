import assert from 'node:assert/strict'
import { test } from 'node:test'
import { core, service } from './test-objects.ts'
import { openTestServer } from './test-server.ts'
import { json, patch, path, services } from './test-writes.ts'

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

test('options that are not sent may have a type, as clients in Python say one', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  assert.equal((await server.ask('DELETE', path, { body: '' })).status, 200)
  assert.equal((await server.ask('DELETE', services, { body: '' })).status, 200)
  assert.equal((await server.ask('DELETE', path, { body: ' ' })).status, 400)
  assert.equal((await server.ask('POST', services, { body: '' })).status, 400)
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
  assert.equal((await server.ask('DELETE', path, { body: { propagationPolicy: 'Some' } })).status, 422)
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

test('a collection of which not all are what the client says stays', async () => {
  await using server = await openTestServer()
  const { metadata } = await server.client.create(service())
  for (const preconditions of [{ uid: 'another' }, { resourceVersion: '1' }]) {
    const refused = await server.ask('DELETE', services, { body: { preconditions } })
    assert.equal(refused.status, 409)
    assert.equal((await server.ask('GET', path)).status, 200)
  }
  const { uid } = metadata
  assert.equal((await server.ask('DELETE', services, { body: { preconditions: { uid } } })).status, 200)
  assert.equal((await server.ask('GET', path)).status, 404)
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

test('the namespaces that the server itself uses cannot be deleted, alone or with others', async () => {
  await using server = await openTestServer()
  const namespaces = '/api/v1/namespaces'
  for (const name of ['default', 'riptides-system', 'team']) {
    await server.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
  for (const name of ['default', 'riptides-system']) {
    const whole = `${namespaces}?fieldSelector=metadata.name%3D${name}`
    for (const asked of [`${namespaces}/${name}`, `${namespaces}/${name}?dryRun=All`, whole]) {
      const answer = await server.ask('DELETE', asked)
      assert.deepEqual([answer.status, json(answer).reason], [403, 'Forbidden'], asked)
      const why = `namespaces "${name}" is forbidden: this namespace may not be deleted`
      assert.equal((json(answer) as { message: string }).message, why)
    }
    const { metadata } = json(await server.ask('GET', `${namespaces}/${name}`))
    assert.equal(metadata.deletionTimestamp, undefined)
  }
  assert.equal((await server.ask('DELETE', `${namespaces}/team`)).status, 200)
})
