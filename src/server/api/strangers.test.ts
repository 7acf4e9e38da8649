// What costs a reader much is read for nobody who has not shown a token.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestServer } from './test-server.ts'
import { json, services } from './test-writes.ts'

test('a stranger is heard in JSON only, wherever he may speak', async () => {
  const route = (answer: string) => ({ config: { public: true }, handler: () => answer })
  await using server = await openTestServer({
    plugins: [async (app) => void app.route({ method: 'POST', url: '/open', ...route('heard') })],
  })
  const ask = async (contentType: string, body: string) =>
    (await server.ask('POST', '/open', { authorization: null, contentType, body })).status
  assert.equal(await ask('application/json', '{}'), 200)
  assert.equal(await ask('application/json', '['.repeat(70) + ']'.repeat(70)), 400, 'nothing that lies deep')
  for (const type of [
    'application/yaml',
    'application/apply-patch+yaml',
    'application/merge-patch+json',
    'application/vnd.kubernetes.protobuf',
  ]) {
    assert.equal(await ask(type, '{}'), 415, type)
  }
})

test('YAML that is none is refused as soon as it is read, and tags of other languages with it', async () => {
  await using server = await openTestServer()
  for (const body of ['"'.repeat(131_000), '!a '.repeat(40_000), '*a '.repeat(40_000)]) {
    const { status } = await server.ask('POST', services, { contentType: 'application/yaml', body })
    assert.equal(status, 400)
  }
  for (const text of ['a: !!set {x}', 'a: !!binary eA==', '__proto__: {}', 'a: !b c']) {
    const answer = await server.ask('POST', services, { contentType: 'application/yaml', body: text })
    assert.deepEqual([answer.status, json(answer).message], [400, 'the body is not YAML'], text)
  }
})
