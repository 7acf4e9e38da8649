import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Draft, Service } from '#model/resource'
import { continueToken } from './list-options.ts'
import { core, drafts, service } from './test-objects.ts'
import { openTestServer, whileTimePasses, type TestServer } from './test-server.ts'

const services = `/apis/${core}/namespaces/riptides-system/services`
const tableType = 'application/json;as=Table;v=v1;g=meta.k8s.io'

const named = (name: string, labels: Record<string, string> = {}): Draft<Service> => ({
  ...service(),
  metadata: { name, labels },
})

async function read(server: TestServer, path: string, accept?: string) {
  return JSON.parse((await server.ask('GET', path, { headers: accept === undefined ? {} : { accept } })).body)
}

const namesOf = (list: { items: { metadata: { name: string } }[] }) =>
  list.items.map(({ metadata }) => metadata.name)

/** Moves the store on until it keeps none of the changes there were. */
async function compact({ store }: TestServer): Promise<void> {
  for (let count = 0; count < 2100; count++) {
    await store.transaction([], [{ type: 'put', key: '/x', value: Buffer.from('x') }])
  }
}

test('kubectl gets a table with the columns of ctl get, some of them for -o wide only', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  for (const version of ['v1', 'v1beta1']) {
    const accept = `application/json;as=Table;v=${version};g=meta.k8s.io,application/json`
    const table = await read(server, services, accept)
    assert.deepEqual([table.kind, table.apiVersion], ['Table', `meta.k8s.io/${version}`])
    const names = (wide: boolean) =>
      table.columnDefinitions
        .filter(({ priority }: { priority: number }) => priority > 0 === wide)
        .map(({ name }: { name: string }) => name)
    assert.deepEqual(names(false), ['NAME', 'ADDRESSES', 'EXTERNAL', 'STATE', 'AGE'])
    assert.deepEqual(names(true), ['MESSAGE'])
    const [message] = table.rows[0].cells.slice(-1) as [string]
    assert.deepEqual(table.rows[0].cells, ['aws', 'sts.amazonaws.com', '<none>', 'PENDING', '0s', message])
    assert.equal(table.rows[0].object.kind, 'PartialObjectMetadata')
    assert.equal(table.rows[0].object.spec, undefined)
  }
  // Nothing behind the last semicolon is a parameter, too (RFC 9110 section 5.6.6).
  for (const type of [tableType, `${tableType};`])
    assert.equal((await read(server, `${services}/aws`, type)).rows.length, 1)
  assert.equal((await read(server, `${services}?includeObject=None`, tableType)).rows[0].object, null)
  const whole = await read(server, `${services}?includeObject=Object`, tableType)
  assert.equal(whole.rows[0].object.kind, 'Service')
  assert.equal((await read(server, `${services}?includeObject=Half`, tableType)).code, 400)
})

test('a kind that has no status has none to read, and so nobody reads it by the right to statuses', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  await server.client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } })
  const account = '/api/v1/namespaces/riptides-system/serviceaccounts/robot'
  assert.equal((await server.ask('GET', account)).status, 200)
  assert.equal((await server.ask('GET', `${account}/status`)).status, 404)
  assert.equal((await server.ask('GET', `${services}/aws/status`)).status, 200)
})

test('every kind makes a table of as many cells as columns', async () => {
  await using server = await openTestServer()
  for (const draft of drafts) await server.client.create(draft)
  const { resources } = await read(server, `/apis/${core}`)
  for (const { name } of resources) {
    if (name.includes('/')) continue
    const { columnDefinitions, rows } = await read(server, `/apis/${core}/${name}`, tableType)
    assert.equal(rows[0].cells.length, columnDefinitions.length, name)
  }
})

test('metadata alone is answered to those who ask for it', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const form = (as: string) => `application/json;as=${as};g=meta.k8s.io;v=v1,application/json`
  const list = await read(server, services, form('PartialObjectMetadataList'))
  assert.equal(list.kind, 'PartialObjectMetadataList')
  assert.deepEqual(Object.keys(list.items[0]).sort(), ['apiVersion', 'kind', 'metadata'])
  assert.equal(
    (await read(server, `${services}/aws`, form('PartialObjectMetadata'))).kind,
    'PartialObjectMetadata',
  )
  assert.equal((await read(server, services, 'application/vnd.kubernetes.protobuf')).code, 406)
})

test('lists are restricted by labels and fields', async () => {
  await using server = await openTestServer()
  await server.client.create(named('a', { tier: 'front' }))
  await server.client.create(named('b', { tier: 'back' }))
  await server.client.create(named('c'))
  await server.resources.updateStatus('Service', 'riptides-system', 'c', { state: 'OK' })
  const cases: readonly [query: string, names: string[]][] = [
    ['labelSelector=tier', ['a', 'b']],
    ['labelSelector=tier in (back,front),tier!=back', ['a']],
    ['labelSelector=!tier', ['c']],
    ['fieldSelector=metadata.name!=a', ['b', 'c']],
    ['fieldSelector=status.state=OK', ['c']],
    ['fieldSelector=status.state=OK&labelSelector=tier', []],
  ]
  for (const [query, names] of cases) {
    assert.deepEqual(namesOf(await read(server, `${services}?${encodeURI(query)}`)), names, query)
  }
  for (const query of [
    'labelSelector=a=b=c',
    'fieldSelector=spec.nothing=1',
    'labelSelector=a&labelSelector=b',
  ]) {
    assert.equal((await read(server, `${services}?${query}`)).code, 400, query)
  }
})

test('the parts of a list show one moment, whatever is written in between', async () => {
  await using server = await openTestServer({ kind: 'sqlite' })
  for (const name of ['a', 'b', 'c', 'd', 'e']) await server.client.create(named(name))
  const first = await read(server, `${services}?limit=2`)
  assert.deepEqual([namesOf(first), first.metadata.remainingItemCount], [['a', 'b'], 3])
  await server.client.delete('Service', 'c')
  await server.client.create(named('bb'))
  const second = await read(server, `${services}?limit=2&continue=${first.metadata.continue}`)
  assert.deepEqual(namesOf(second), ['c', 'd'])
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
  const third = await read(server, `${services}?limit=2&continue=${second.metadata.continue}`)
  assert.deepEqual([namesOf(third), third.metadata.continue], [['e'], undefined])
  const selected = await read(server, `${services}?limit=1&labelSelector=!x`)
  assert.deepEqual([namesOf(selected), selected.metadata.remainingItemCount], [['a'], undefined])
})

test('a list that is too old to go on says how to, as things are now', async () => {
  await using server = await openTestServer()
  for (const name of ['a', 'b', 'c']) await server.client.create(named(name))
  const { metadata } = await read(server, services)
  await server.client.create(named('d'))
  await compact(server)
  const token = continueToken({ revision: metadata.resourceVersion, after: 'riptides-system/a' })
  const late = await read(server, `${services}?limit=1&continue=${token}`)
  assert.deepEqual([late.code, late.reason], [410, 'Expired'])
  const rest = await read(server, `${services}?continue=${late.metadata.continue}`)
  assert.deepEqual(namesOf(rest), ['b', 'c', 'd'])
  assert.equal((await read(server, `${services}?continue=bm8`)).code, 400)
})

test('a list is of the version that is asked for, or says that it cannot be', async () => {
  await using server = await openTestServer()
  const { resourceVersion } = (await server.client.create(named('a'))).metadata
  await server.client.create(named('b'))
  const list = (query: string) => read(server, `${services}?${query}`)
  const exact = `resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`
  assert.deepEqual(namesOf(await list(exact)), ['a'])
  assert.deepEqual(namesOf(await list(`resourceVersion=${resourceVersion}&limit=5`)), ['a'])
  for (const query of ['', 'resourceVersion=0', `resourceVersion=${resourceVersion}`]) {
    assert.deepEqual(namesOf(await list(query)), ['a', 'b'], query)
  }
  const ahead = await list('resourceVersion=99999999')
  assert.deepEqual([ahead.code, ahead.details.causes[0].reason], [504, 'ResourceVersionTooLarge'])
  for (const query of [
    'resourceVersionMatch=Exact',
    'resourceVersion=0&resourceVersionMatch=Exact',
    'resourceVersion=1&resourceVersionMatch=Around',
    'sendInitialEvents=true',
    'watch=true&sendInitialEvents=true',
    'watch=true&resourceVersion=1&resourceVersionMatch=Exact',
  ]) {
    assert.equal((await list(query)).code, 422, query)
  }
  for (const query of ['resourceVersion=x', 'limit=-1', 'watch=1&watch=0']) {
    assert.equal((await list(query)).code, 400, query)
  }
  await compact(server)
  const next = Number(resourceVersion) + 1
  assert.equal((await list(`resourceVersion=${next}&resourceVersionMatch=Exact`)).code, 410)
})

test('a watch lasts as long as it was asked to, and says where to go on', async () => {
  await using server = await openTestServer()
  await server.client.create(named('a'))
  const path = `${services}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1`
  const { body } = await whileTimePasses(server, server.ask('GET', path))
  const events = body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    events.map(({ type }) => type),
    ['ADDED', 'BOOKMARK', 'BOOKMARK'],
  )
  assert.deepEqual(Object.keys(events[2].object.metadata), ['resourceVersion'])
})

test("a watch is one however a client spells yes: the Python client's says True", async () => {
  await using server = await openTestServer()
  await server.client.create(named('a'))
  for (const yes of ['watch=True', 'watch=1', 'watch']) {
    const { body } = await whileTimePasses(server, server.ask('GET', `${services}?${yes}&timeoutSeconds=1`))
    assert.equal((JSON.parse(body) as { type: string }).type, 'ADDED', yes)
  }
})

test('a long list without a limit is whole, and of the same type as a short one', async () => {
  await using server = await openTestServer()
  const ask = () => server.ask('GET', services)
  const short = await ask()
  const names = Array.from({ length: 300 }, (_, index) => `s${String(index).padStart(3, '0')}`)
  for (const name of names) await server.resources.create(named(name))
  const long = await ask()
  assert.equal(long.headers['content-type'], short.headers['content-type'])
  assert.deepEqual(namesOf(JSON.parse(long.body)), names)
})
