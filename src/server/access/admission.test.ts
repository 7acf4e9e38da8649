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

test('finalizers and owners of a role can be changed without its rights, and nothing beside them', () => {
  const admit = admitFor(['get'])
  const metadata = { name: 'r', namespace: 'team', resourceVersion: '7', generation: 1 }
  const kept = { ...metadata, finalizers: ['example.org/a'], ownerReferences: [{ uid: 'u' }] }
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  const rules = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }]
  const contents = [
    { kind: 'Role', rules },
    { kind: 'ClusterRole', rules, aggregationRule: { clusterRoleSelectors: [{}] } },
    { kind: 'RoleBinding', subjects: [], roleRef: { kind: 'ClusterRole', name: 'gone' } },
    { kind: 'ClusterRoleBinding', subjects: [], roleRef: { kind: 'ClusterRole', name: 'gone' } },
  ]
  for (const content of contents) {
    const update = (after: object, before: object) => () => {
      const [object, previous] = [after, before].map((more) => ({ apiVersion, ...content, ...more }))
      return admit({ operation: 'update', object, previous, actor } as never)
    }
    assert.deepEqual(update({ metadata }, { metadata: kept })(), [], content.kind)
    assert.deepEqual(update({ metadata: { ...kept, managedFields: [{}] } }, { metadata })(), [])
    const labels = { metadata: { ...metadata, labels: { a: 'b' } } }
    assert.throws(update(labels, { metadata: kept }), { code: 'API_FORBIDDEN' }, content.kind)
    const changed = { metadata, subjects: [{ kind: 'User', name: 'ada' }], rules: [...rules, ...rules] }
    assert.throws(update(changed, { metadata: kept }), { code: 'API_FORBIDDEN' }, content.kind)
  }
})

test('a binding keeps its role, which is the same with its group and without', () => {
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  const roleRef = { kind: 'ClusterRole', name: 'viewer' }
  const binding = (ref: object) => ({
    apiVersion,
    kind: 'RoleBinding',
    metadata: { name: 'b' },
    roleRef: ref,
  })
  const update = (ref: object) =>
    admitFor([])({ operation: 'update', object: binding(ref), previous: binding(roleRef) } as never)
  assert.deepEqual(update({ apiGroup: 'rbac.authorization.k8s.io', ...roleRef }), [])
  for (const other of [{ name: 'editor' }, { kind: 'Role' }]) {
    assert.throws(() => update({ ...roleRef, ...other }), /cannot change roleRef/)
  }
})
