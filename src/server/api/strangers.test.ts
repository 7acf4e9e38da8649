// What costs a reader much is read for nobody who has not shown a token.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readProtobuf } from './protobuf-body.ts'
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

test('lists and maps of a hundred thousand entries are read once', () => {
  const entry = Buffer.from([0x72, 0x00])
  const meta = Buffer.concat(Array.from({ length: 60_000 }, () => entry))
  const field = (number: number, bytes: Uint8Array) => {
    const length: number[] = []
    for (let rest = bytes.length; ; rest >>>= 7) {
      if (rest < 128) {
        length.push(rest)
        break
      }
      length.push((rest & 127) | 128)
    }
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes])
  }
  const type = Buffer.concat([field(1, Buffer.from('v1')), field(2, Buffer.from('Namespace'))])
  const read = readProtobuf(Buffer.concat([Buffer.from('k8s\0'), field(1, type), field(2, field(1, meta))]))
  assert.equal((read as { metadata: { finalizers: string[] } }).metadata.finalizers.length, 60_000)
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
