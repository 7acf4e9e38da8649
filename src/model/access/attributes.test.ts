import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessRequest, forbiddenMessage } from './index.ts'

const read = (method: string, url: string) => {
  const { pathname, searchParams } = new URL(url, 'https://x')
  const segments = pathname.slice(1).split('/')
  return accessRequest({ method, segments, query: Object.fromEntries(searchParams) })
}

// The tables of k8s.io/apiserver requestinfo_test, for the paths that are served here.
const resourceCases: [
  method: string,
  url: string,
  verb: string,
  group: string,
  namespace: string,
  resource: string,
  subresource: string,
  name: string,
][] = [
  ['GET', '/api/v1/namespaces', 'list', '', '', 'namespaces', '', ''],
  ['GET', '/api/v1/namespaces/other', 'get', '', 'other', 'namespaces', '', 'other'],
  ['PUT', '/api/v1/namespaces/other/finalize', 'update', '', 'other', 'namespaces', 'finalize', 'other'],
  ['GET', '/api/v1/namespaces/other/status', 'get', '', 'other', 'namespaces', 'status', 'other'],
  ['GET', '/api/v1/namespaces/other/pods', 'list', '', 'other', 'pods', '', ''],
  ['GET', '/api/v1/namespaces/other/pods/foo', 'get', '', 'other', 'pods', '', 'foo'],
  ['HEAD', '/api/v1/namespaces/other/pods/foo', 'get', '', 'other', 'pods', '', 'foo'],
  ['GET', '/api/v1/pods', 'list', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=true', 'watch', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=1', 'watch', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=True', 'watch', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=', 'watch', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=false', 'list', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=False', 'list', '', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=0', 'list', '', '', 'pods', '', ''],
  [
    'GET',
    '/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3Dfoo',
    'list',
    '',
    'other',
    'pods',
    '',
    'foo',
  ],
  [
    'GET',
    '/api/v1/namespaces/other/pods?fieldSelector=metadata.name!%3Dfoo',
    'list',
    '',
    'other',
    'pods',
    '',
    '',
  ],
  ['GET', '/api/v1/namespaces/other/pods/foo/log', 'get', '', 'other', 'pods', 'log', 'foo'],
  ['POST', '/api/v1/namespaces/other/pods', 'create', '', 'other', 'pods', '', ''],
  [
    'POST',
    '/api/v1/namespaces/o/serviceaccounts/a/token',
    'create',
    '',
    'o',
    'serviceaccounts',
    'token',
    'a',
  ],
  ['PUT', '/api/v1/namespaces/other/pods/foo', 'update', '', 'other', 'pods', '', 'foo'],
  ['PATCH', '/api/v1/namespaces/other/pods/foo', 'patch', '', 'other', 'pods', '', 'foo'],
  ['DELETE', '/api/v1/namespaces/other/pods/foo', 'delete', '', 'other', 'pods', '', 'foo'],
  ['DELETE', '/api/v1/namespaces/other/pods', 'deletecollection', '', 'other', 'pods', '', ''],
  ['GET', '/apis/batch/v1/namespaces/other/jobs', 'list', 'batch', 'other', 'jobs', '', ''],
  ['PUT', '/apis/a.b/v1/namespaces/o/jobs/x/status', 'update', 'a.b', 'o', 'jobs', 'status', 'x'],
  ['POST', '/apis/r/v1/clusterroles', 'create', 'r', '', 'clusterroles', '', ''],
  ['GET', '/apis/r/v1/clusterroles/a', 'get', 'r', '', 'clusterroles', '', 'a'],
]
for (const [method, url, verb, group, namespace, resource, subresource, name] of resourceCases) {
  test(`${method} ${url} is about a resource`, () => {
    assert.deepEqual(read(method, url), {
      verb,
      group,
      version: 'v1',
      namespace,
      resource,
      subresource,
      name,
    })
  })
}

for (const path of [
  '/',
  '/api',
  '/api/v1',
  '/api/v1/',
  '/apis',
  '/apis/a',
  '/apis/a/v1',
  '/audit',
  '/keys/rotate',
  '/x/v1/y',
]) {
  test(`${path} is about no resource`, () => {
    assert.deepEqual(read('GET', path), { verb: 'get', path })
    assert.deepEqual(read('POST', path), { verb: 'post', path })
  })
}

test('refusals are worded as Kubernetes words them', () => {
  const ada = { name: 'ada', groups: [] }
  const words = (method: string, url: string) => forbiddenMessage(ada, read(method, url))
  assert.equal(
    words('GET', '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services'),
    'services.core.riptides.io is forbidden: User "ada" cannot list resource "services" in API group "core.riptides.io" in the namespace "riptides-system"',
  )
  assert.equal(
    words('DELETE', '/api/v1/namespaces/a/secrets/b'),
    'secrets "b" is forbidden: User "ada" cannot delete resource "secrets" in API group "" in the namespace "a"',
  )
  assert.equal(
    words('POST', '/api/v1/namespaces/a/serviceaccounts/b/token'),
    'serviceaccounts "b" is forbidden: User "ada" cannot create resource "serviceaccounts/token" in API group "" in the namespace "a"',
  )
  assert.equal(
    words('GET', '/api/v1/namespaces'),
    'namespaces is forbidden: User "ada" cannot list resource "namespaces" in API group "" at the cluster scope',
  )
  assert.equal(words('GET', '/audit'), 'forbidden: User "ada" cannot get path "/audit"')
})
