import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { duplicateFields } from './duplicate-fields.ts'
import { service } from './test-objects.ts'
import { openTestServer } from './test-server.ts'
import { json, path, services } from './test-writes.ts'

test('fields that are there more than once are found wherever they lie, however they are spelt', () => {
  const found = (text: string) => duplicateFields(text)
  assert.deepEqual(found('{"a":1,"b":{"a":2}}'), [])
  assert.deepEqual(found('{"a":1,"b":"\\"a\\":","a":2,"a":3}'), ['a'])
  assert.deepEqual(found('{"spec":{"hosts":[{"x":1},{"port":1,"p\\u006frt":2}],"on":[[],{},"]"],"on":1}}'), [
    'spec.hosts[1].port',
    'spec.on',
  ])
  assert.deepEqual(found('["a","a"]'), [])
  assert.deepEqual(found(' "a" '), [])
  assert.deepEqual(found('{"a\\\\":1,"a\\\\":2,"":{"":0,"":0}}'), ['a\\', '.'])
})

test('what JSON.stringify writes has each field once', () => {
  fc.assert(fc.property(fc.json(), (text) => assert.deepEqual(duplicateFields(text), [])))
  const keyed = fc.tuple(fc.string({ unit: 'binary' }), fc.jsonValue())
  fc.assert(
    fc.property(keyed, fc.jsonValue(), ([name, value], other) => {
      const field = (of: unknown) => `${JSON.stringify(name)}:${JSON.stringify(of)}`
      assert.equal(duplicateFields(`[0,{${field(value)},${field(other)}}]`).length, 1)
    }),
  )
})

test('however long it is and however many there are, as many are told as clients take', () => {
  const quotes = `{"a":"${'\\\\'.repeat(500_000)}","a":1}`
  assert.deepEqual(duplicateFields(quotes), ['a'])
  assert.equal(duplicateFields(`{${'"a":{"a":0,"a":1},'.repeat(50_000)}"b":0}`).length, 2)
  const many = Array.from({ length: 1000 }, (_, index) => `"f${index}":0,"f${index}":0`)
  assert.equal(duplicateFields(`{${many.join()}}`).length, 100)
})

test('a field that is there twice is refused, warned of or passed over, as the request says', async () => {
  await using server = await openTestServer()
  const body = JSON.stringify(service()).replace('"spec":{', '"spec":{"labels":{"app":"other"},')
  const ask = async (method: string, url: string, contentType = 'application/json') =>
    await server.ask(method, url, { body, contentType })
  const strict = await ask('POST', services)
  assert.equal(strict.status, 400)
  assert.equal(json(strict).message, 'strict decoding error: duplicate field "spec.labels"')
  const warned = await ask('POST', `${services}?fieldValidation=Warn`)
  assert.equal(warned.status, 201)
  assert.match(String(warned.headers['warning']), /299 - "duplicate field \\"spec\.labels\\""/)
  assert.deepEqual(json(warned).spec.labels, service().spec.labels)
  const passed = await ask('PUT', `${path}?fieldValidation=Ignore`)
  assert.deepEqual([passed.status, passed.headers['warning']], [200, undefined])
  assert.equal((await ask('PATCH', path, 'application/merge-patch+json')).status, 400)
  const apply = `${path}?fieldManager=test`
  assert.equal((await ask('PATCH', apply, 'application/apply-patch+yaml')).status, 400)
})
