import assert from 'node:assert/strict'
import { test } from 'node:test'

import { questions } from '#server/access'
import { servedKinds } from './discovery.ts'
import { core } from './test-objects.ts'
import { openTestServer } from './test-server.ts'

test('Kubernetes clients find every kind, with its names, scope and verbs', async () => {
  await using server = await openTestServer()
  const read = async (path: string) => JSON.parse((await server.ask('GET', path)).body)
  assert.deepEqual((await read('/api')).versions, ['v1'])
  const { groups } = (await read('/apis')) as {
    groups: { name: string; preferredVersion: { groupVersion: string } }[]
  }
  const versions = groups.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`)
  const found: string[] = []
  const asked: string[] = []
  for (const path of ['/api/v1', ...versions]) {
    const list = await read(path)
    assert.equal(list.groupVersion, path.replace(/^\/apis?\//, ''))
    for (const { name, kind, namespaced, verbs } of list.resources) {
      if (name === 'serviceaccounts/token') assert.deepEqual([kind, verbs], ['TokenRequest', ['create']])
      else if (name.includes('/')) assert.deepEqual(verbs, ['get', 'patch', 'update'])
      else if (!verbs.includes('get')) asked.push(`${list.groupVersion} ${name}`)
      else found.push(`${path} ${name} ${kind} ${namespaced ? 'Namespaced' : 'Cluster'}`)
    }
  }
  const kept = servedKinds.map(({ group, version, plural, kind, scope }) => {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    return `${path} ${plural} ${kind} ${scope}`
  })
  assert.deepEqual(found.sort(), kept.sort())
  assert.deepEqual(
    asked.sort(),
    questions.map(({ group, version, plural }) => `${group}/${version} ${plural}`).toSorted(),
  )
  assert.equal((await server.ask('GET', '/apis/nothing.io')).status, 404)
  assert.equal((await server.ask('GET', '/apis/nothing.io/v1')).status, 404)
})

test('what there is may be asked for with a slash at the end, as clients made from Kubernetes do', async () => {
  await using server = await openTestServer()
  for (const path of ['/version', '/api', '/api/v1', '/apis', '/apis/core.riptides.io', `/apis/${core}`]) {
    const [plain, slashed] = [await server.ask('GET', path), await server.ask('GET', `${path}/`)]
    assert.deepEqual([slashed.status, slashed.body], [200, plain.body], path)
  }
  // Whoever forgets the name of an object is not given them all.
  assert.equal((await server.ask('GET', '/api/v1/namespaces/')).status, 404)
})

test('newer clients get all kinds in one answer, in the version that they know', async () => {
  await using server = await openTestServer()
  for (const version of ['v2', 'v2beta1']) {
    const accept = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`
    const names: string[] = []
    for (const path of ['/api', '/apis']) {
      const { headers, body } = await server.ask('GET', path, { headers: { accept } })
      assert.match(String(headers['content-type']), /as=APIGroupDiscoveryList;g=apidiscovery\.k8s\.io/)
      const list = JSON.parse(body)
      assert.equal(list.apiVersion, `apidiscovery.k8s.io/${version}`)
      for (const { versions } of list.items) {
        for (const { resources } of versions)
          names.push(...resources.map((item: { resource: string }) => item.resource))
      }
    }
    assert.deepEqual(
      names.sort(),
      [...servedKinds.map(({ plural }) => plural), ...questions.map(({ plural }) => plural)].sort(),
    )
  }
})

test('a client that has a document already is told that it still holds', async () => {
  await using server = await openTestServer()
  const { headers } = await server.ask('GET', '/apis')
  const etag = headers['etag'] as string
  for (const known of [etag, `"other", W/${etag}`, '*']) {
    const again = await server.ask('GET', '/apis', { headers: { 'if-none-match': known } })
    assert.deepEqual([again.status, again.body], [304, ''])
  }
})

test('a form that there is not is refused with the forms that there are', async () => {
  await using server = await openTestServer()
  const { status, body } = await server.ask('GET', '/apis', {
    headers: { accept: 'application/vnd.kubernetes.protobuf' },
  })
  assert.equal(status, 406)
  assert.match(JSON.parse(body).message, /application\/json,/)
})

test('the version is that of the Kubernetes whose API this is like, and our own', async () => {
  await using server = await openTestServer()
  const { major, minor, gitVersion } = JSON.parse((await server.ask('GET', '/version')).body)
  assert.equal(gitVersion, `v${major}.${minor}.0+tideway-0.1.0`)
})
