import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auth, core, service } from './test-objects.ts'
import { openTestServer, type Answer, type TestServer } from './test-server.ts'
import { applyAs, config, json, patch, path, secretPath, services } from './test-writes.ts'

let server: TestServer
before(async () => {
  server = await openTestServer()
  await server.client.create(service())
})
after(() => server[Symbol.asyncDispose]())

const causes = (answer: Answer) => {
  assert.equal(answer.status, 422, answer.body)
  return json(answer).details.causes.map(({ field }: { field: string }) => field)
}

/** Writes metadata in every way. */
function writes(metadata: object): Promise<Answer>[] {
  const body = { ...service(), metadata: { name: 'aws', ...metadata }, status: {} }
  return [
    server.ask('PUT', path, { body }),
    server.ask('PUT', `${path}/status`, { body }),
    patch(server, 'merge', path, { metadata }),
    patch(server, 'merge', `${path}/status`, { metadata }),
    applyAs(server, 'one', config(service().spec, metadata), '&force=true'),
    patch(server, 'apply', `${path}/status?fieldManager=one`, body),
  ]
}

for (const name of ['uid', 'resourceVersion', 'generateName']) {
  test(`a metadata.${name} that is no text is refused, and none is as none at all`, async () => {
    for (const value of [5, true, ['x'], { slice: 1 }]) {
      for (const answer of await Promise.all(writes({ [name]: value }))) {
        assert.deepEqual(causes(answer), [`metadata.${name}`])
      }
    }
    for (const written of writes({ [name]: null })) assert.equal((await written).status, 200)
  })
}

test('a name that is no text is refused, also one that cannot be made into text', async () => {
  for (const name of [5, ['aws'], { toString: 1 }]) {
    const body = { ...service(), metadata: { name } }
    for (const answer of [
      await server.ask('POST', services, { body }),
      await server.ask('PUT', path, { body }),
      await patch(server, 'merge', path, { metadata: { name } }),
      await applyAs(server, 'one', config({}, { name })),
    ]) {
      assert.deepEqual(causes(answer), ['metadata.name'])
    }
  }
})

test('an entry of managedFields that is no object is refused', async () => {
  for (const entry of [null, 'x', []]) {
    const body = { ...service(), metadata: { name: 'aws', managedFields: [entry] } }
    assert.deepEqual(causes(await server.ask('PUT', path, { body })), ['metadata.managedFields[0]'])
  }
})

test('values of a Secret that are no texts are refused, however they are applied', async () => {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' } }
  const apply = (values: object) =>
    patch(server, 'apply', `${secretPath}?fieldManager=one&force=true`, { ...secret, ...values })
  assert.deepEqual(causes(await apply({ stringData: { k: 5 } })), ['stringData.k'])
  assert.deepEqual(causes(await apply({ stringData: ['x'] })), ['stringData'])
  assert.deepEqual(causes(await apply({ stringData: 'x' })), ['stringData'])
  assert.deepEqual(causes(await apply({ data: ['eA=='], stringData: { k: 'x' } })), ['data'])
  assert.equal((await apply({ data: { a: 'eA==' }, stringData: { k: 'x' } })).status, 201)
  const data = await server.resources.secretData('riptides-system', 'api')
  assert.deepEqual([...data!.keys()], ['a', 'k'])
})

test('a join token without a specification is refused', async () => {
  const at = `/apis/${auth}/namespaces/riptides-system/jointokens/node?fieldManager=one`
  for (const spec of [undefined, 'x']) {
    const body = { apiVersion: auth, kind: 'JoinToken', metadata: { name: 'node' }, spec }
    assert.deepEqual(causes(await patch(server, 'apply', at, body)), ['spec'])
  }
})

const numbers = [
  '9007199254740993',
  '-9007199254740993',
  '1e400',
  '-1e400',
  '1e21',
  '{"a":[0,12345678901234567890]}',
]
for (const number of numbers) {
  test(`the number ${number}, which would be kept as another, is refused whichever way it is written`, async () => {
    const sources = services.replace(/services$/, 'credentialsources')
    const source = (claims: string) =>
      `{"apiVersion":"${core}","kind":"CredentialSource","metadata":{"name":"aws"},` +
      `"spec":{"aws":{"roleArn":"arn:aws:iam::123456789012:role/app","idTokenClaims":${claims}}}}`
    await server.ask('POST', sources, { body: JSON.parse(source('{"n":1.5,"m":-9007199254740991}')) })
    const [one, claims] = [`${sources}/aws`, `{"n":${number}}`]
    const merge = `{"spec":{"aws":{"idTokenClaims":${claims}}}}`
    const operations = `[{"op":"add","path":"/spec/aws/idTokenClaims/n","value":${number}}]`
    for (const [method, to, contentType, body] of [
      ['POST', sources, 'application/json', source(claims)],
      ['PUT', one, 'application/json', source(claims)],
      ['PATCH', one, 'application/merge-patch+json', merge],
      ['PATCH', one, 'application/json-patch+json', operations],
      ['PATCH', `${one}?fieldManager=one&force=true`, 'application/apply-patch+yaml', source(claims)],
    ] as const) {
      const field = number.startsWith('{') ? 'n.a[1]' : 'n'
      const answer = await server.ask(method, to, { contentType, body })
      assert.deepEqual(causes(answer), [`spec.aws.idTokenClaims.${field}`])
      assert.match(json(answer).message, /write this one as text/)
    }
  })
}
