import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Resource } from '#model/resource'
import { accessAdmission } from './admission.ts'

const actor = { name: 'ada', groups: [] }
const service = {
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name: 'aws', namespace: 'team' },
  spec: { labels: {} },
} as unknown as Resource

function admitFor(verbs: string[], resourceNames?: string[]) {
  const rule = {
    verbs,
    apiGroups: ['core.riptides.io'],
    resources: ['services'],
    ...(resourceNames && { resourceNames }),
  }
  const subjects = [{ kind: 'User', name: 'ada' }]
  const binding = { metadata: {}, subjects, roleRef: { kind: 'Role', name: 'r' } }
  const cache = {
    get: (kind: string) => (kind === 'Role' ? { metadata: {}, rules: [rule] } : undefined),
    list: (kind: string) => (kind === 'RoleBinding' ? [binding] : []),
  }
  return accessAdmission(() => cache as never)
}

test('what a patch creates takes the right to create it', () => {
  const forbidden = {
    code: 'API_FORBIDDEN',
    message:
      'services.core.riptides.io "aws" is forbidden: User "ada" cannot create resource "services" in API group "core.riptides.io" in the namespace "team"',
  }
  assert.throws(() => admitFor(['patch'])({ operation: 'create', object: service, actor }), forbidden)
  assert.throws(
    () => admitFor(['create'], ['other'])({ operation: 'create', object: service, actor }),
    forbidden,
  )
  assert.deepEqual(admitFor(['patch', 'create'])({ operation: 'create', object: service, actor }), [])
  assert.deepEqual(admitFor(['create'], ['aws'])({ operation: 'create', object: service, actor }), [])
  assert.deepEqual(
    admitFor(['patch'])({ operation: 'update', object: service, previous: service, actor }),
    [],
  )
})

test('what the server writes itself is not judged', () => {
  assert.deepEqual(admitFor([])({ operation: 'create', object: service }), [])
})
