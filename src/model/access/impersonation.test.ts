import assert from 'node:assert/strict'
import { test } from 'node:test'
import { impersonated, impersonationOf, impersonationRequests } from './impersonation.ts'

test('a request without the headers is made as oneself', () => {
  assert.equal(impersonationOf({ authorization: ['Bearer x'] }), undefined)
})

test('a user, his groups and his uid are read, names in UTF-8', () => {
  const latin1 = Buffer.from('corp:adèle').toString('latin1')
  const wish = impersonationOf({
    'impersonate-user': [latin1],
    'impersonate-group': ['dev', 'ops, on call'],
    'impersonate-uid': ['42'],
  })
  assert.deepEqual(wish, { user: 'corp:adèle', groups: ['dev', 'ops, on call'], uid: '42' })
})

test('what cannot be done, or is not understood, is refused', () => {
  for (const headers of [
    { 'impersonate-group': ['dev'] },
    { 'impersonate-user': [''] },
    { 'impersonate-user': ['a', 'b'] },
    { 'impersonate-user': ['a'], 'impersonate-uid': ['1', '2'] },
    { 'impersonate-user': ['a'], 'impersonate-extra-scopes': ['view'] },
    { 'impersonate-user': ['a'], 'impersonate-what': ['view'] },
  ]) {
    assert.ok('refused' in impersonationOf(headers)!, JSON.stringify(headers))
  }
})

test('it takes the right to be that user, a member of each group, and of that uid', () => {
  const wish = { user: 'ada', groups: ['dev', 'system:masters'], uid: '42' }
  assert.deepEqual(
    impersonationRequests(wish).map(({ verb, group, resource, name }) => [verb, group, resource, name]),
    [
      ['impersonate', '', 'users', 'ada'],
      ['impersonate', '', 'groups', 'dev'],
      ['impersonate', '', 'groups', 'system:masters'],
      ['impersonate', 'authentication.k8s.io', 'uids', '42'],
    ],
  )
})

test('a service account is one of its namespace, and has the groups of one unless others are named', () => {
  const user = 'system:serviceaccount:team:deployer'
  assert.partialDeepStrictEqual(impersonationRequests({ user, groups: [] }), [
    { resource: 'serviceaccounts', namespace: 'team', name: 'deployer' },
  ])
  assert.deepEqual(impersonated({ user, groups: [] }), {
    name: user,
    groups: ['system:serviceaccounts', 'system:serviceaccounts:team', 'system:authenticated'],
  })
  assert.deepEqual(impersonated({ user, groups: ['x'] }).groups, ['x', 'system:authenticated'])
})
