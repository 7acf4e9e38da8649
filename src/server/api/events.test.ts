import assert from 'node:assert/strict'
import { test } from 'node:test'
import { core, rbac } from './test-objects.ts'
import { openTestServer, whileTimePasses, type Answer, type TestServer } from './test-server.ts'

const home = 'riptides-system'
const written = `/api/v1/namespaces/${home}/events`
const newer = '/apis/events.k8s.io/v1'
const read = `${newer}/namespaces/${home}/events`

const json = ({ body }: Answer) => JSON.parse(body)

const event = (name: string, about: string) => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name },
  involvedObject: { apiVersion: core, kind: 'Service', namespace: home, name: about, uid: 'u' },
  type: 'Normal',
  reason: 'NoBinding',
  message: 'no binding selects it',
  firstTimestamp: '2026-01-01T00:00:00Z',
  lastTimestamp: '2026-01-01T00:00:10Z',
  count: 2,
  source: { component: 'tideway' },
  reportingComponent: 'tideway',
  reportingInstance: 'one',
})

async function openWith(...about: string[]): Promise<TestServer> {
  const server = await openTestServer()
  for (const name of about) {
    const { status, body } = await server.ask('POST', written, { body: event(name, name) })
    assert.equal(status, 201, body)
  }
  return server
}

test('events are served in the form of events.k8s.io too', async () => {
  await using server = await openWith('aws')
  const { metadata, ...rest } = json(await server.ask('GET', `${read}/aws`))
  assert.deepEqual(rest, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    type: 'Normal',
    reason: 'NoBinding',
    reportingInstance: 'one',
    eventTime: null,
    regarding: { apiVersion: core, kind: 'Service', namespace: home, name: 'aws', uid: 'u' },
    note: 'no binding selects it',
    reportingController: 'tideway',
    deprecatedSource: { component: 'tideway' },
    deprecatedFirstTimestamp: '2026-01-01T00:00:00Z',
    deprecatedLastTimestamp: '2026-01-01T00:00:10Z',
    deprecatedCount: 2,
  })
  assert.deepEqual(metadata, json(await server.ask('GET', `${written}/aws`)).metadata)
})

test('they are listed, selected, printed and watched there', async () => {
  await using server = await openWith('aws', 'gcp')
  const all = json(await server.ask('GET', `${newer}/events`))
  assert.deepEqual([all.kind, all.apiVersion, all.items.length], ['EventList', 'events.k8s.io/v1', 2])
  const selected = await server.ask(
    'GET',
    `${read}?fieldSelector=regarding.name%3Dgcp,reportingController%3Dtideway`,
  )
  assert.deepEqual(
    json(selected).items.map(({ regarding }: { regarding: { name: string } }) => regarding.name),
    ['gcp'],
  )
  assert.equal((await server.ask('GET', `${read}?fieldSelector=involvedObject.name%3Dgcp`)).status, 400)
  const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }
  const table = json(await server.ask('GET', `${read}?includeObject=Object`, { headers }))
  const shown = table.columnDefinitions.flatMap(
    ({ name, priority }: { name: string; priority: number }, at: number) =>
      priority === 0 ? [[name, table.rows[0].cells[at]]] : [],
  )
  assert.deepEqual(shown, [
    ['LAST SEEN', 'in 10s'],
    ['TYPE', 'Normal'],
    ['REASON', 'NoBinding'],
    ['OBJECT', 'service/aws'],
    ['MESSAGE', 'no binding selects it'],
  ])
  assert.equal(table.rows[0].object.note, 'no binding selects it')
  const path = `${read}?watch=true&timeoutSeconds=1&resourceVersion=0`
  const watched = await whileTimePasses(server, server.ask('GET', path))
  const seen = watched.body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    seen.map(({ type, object }) => [type, object.apiVersion, object.regarding.name]),
    [
      ['ADDED', 'events.k8s.io/v1', 'aws'],
      ['ADDED', 'events.k8s.io/v1', 'gcp'],
    ],
  )
})

test('there they are for reading only, as discovery says', async () => {
  await using server = await openWith('aws')
  const [group] = json(await server.ask('GET', newer)).resources
  assert.deepEqual([group.name, group.verbs], ['events', ['get', 'list', 'watch']])
  for (const [method, path] of [
    ['POST', read],
    ['PUT', `${read}/aws`],
    ['PATCH', `${read}/aws`],
    ['DELETE', `${read}/aws`],
    ['DELETE', read],
  ] as const) {
    const refused = await server.ask(method, path, { body: {} })
    assert.equal(refused.status, 405, method)
    assert.equal(json(refused).reason, 'MethodNotAllowed')
  }
  const document = json(await server.ask('GET', '/openapi/v3/apis/events.k8s.io/v1'))
  assert.deepEqual(Object.keys(document.paths[`${newer}/namespaces/{namespace}/events/{name}`]), ['get'])
  assert.ok(document.components.schemas['io.k8s.api.events.v1.Event'].properties.regarding)
})

test('a role names that group to allow it', async () => {
  await using server = await openWith('aws')
  await server.client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader' } })
  const tokens = `/api/v1/namespaces/${home}/serviceaccounts/reader/token`
  const authorization = `Bearer ${json(await server.ask('POST', tokens, { body: {} })).status.token}`
  await server.client.create({
    apiVersion: rbac,
    kind: 'Role',
    metadata: { name: 'reader' },
    rules: [{ verbs: ['list'], apiGroups: ['events.k8s.io'], resources: ['events'] }],
  })
  await server.client.create({
    apiVersion: rbac,
    kind: 'RoleBinding',
    metadata: { name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: home }],
    roleRef: { kind: 'Role', name: 'reader' },
  })
  while ((await server.ask('GET', read, { authorization })).status !== 200);
  assert.equal((await server.ask('GET', written, { authorization })).status, 403)
})
