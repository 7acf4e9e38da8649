import assert from 'node:assert/strict'
import { test } from 'node:test'
import { service, value } from './test-objects.ts'
import { openTestServer } from './test-server.ts'
import { json, patch, path, secretPath } from './test-writes.ts'

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
  // Which patches there are is said whatever was sent.
  for (const contentType of ['application/json', 'text/plain', 'application/apply-patch+json']) {
    const other = await server.ask('PATCH', path, { contentType, body: '{}' })
    assert.deepEqual([other.status, json(other).message], [415, json(refused).message], contentType)
  }
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
