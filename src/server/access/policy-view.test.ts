import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Kind, Resource, ResourceOf } from '#model/resource'
import { policyView } from './policy-view.ts'

function cacheOf(objects: readonly Resource[]) {
  const find = (kind: Kind, namespace?: string) =>
    objects.filter(
      ({ kind: own, metadata }) =>
        own === kind && (namespace ?? metadata.namespace ?? '') === (metadata.namespace ?? ''),
    )
  return {
    get: <K extends Kind>(kind: K, namespace: string, name: string) =>
      find(kind, namespace).find(({ metadata }) => metadata.name === name) as ResourceOf<K> | undefined,
    list: <K extends Kind>(kind: K, namespace?: string) => find(kind, namespace) as ResourceOf<K>[],
  }
}

const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }]

function objectsOf(metadata: object): Resource[] {
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', name: 'reader' }
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'ann' }]
  const inNamespace = { name: 'reader', namespace: 'team', ...metadata }
  const inCluster = { name: 'reader', ...metadata }
  return [
    { apiVersion, kind: 'Role', metadata: inNamespace, rules },
    { apiVersion, kind: 'ClusterRole', metadata: inCluster, rules },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: inNamespace,
      subjects,
      roleRef: { kind: 'Role', ...roleRef },
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: inCluster,
      subjects,
      roleRef: { kind: 'ClusterRole', ...roleRef },
    },
  ] as unknown as Resource[]
}

test('roles and bindings are what the cache holds', () => {
  const policy = policyView(cacheOf(objectsOf({})))
  assert.deepEqual(policy.role('team', 'reader'), rules)
  assert.deepEqual(policy.clusterRole('reader'), rules)
  assert.equal(policy.roleBindings('team').length, 1)
  assert.equal(policy.roleBindings('other').length, 0)
  assert.equal(policy.clusterRoleBindings().length, 1)
})

test('what is being deleted grants nothing, though a finalizer keeps it', () => {
  const going = { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['example.org/hold'] }
  const policy = policyView(cacheOf(objectsOf(going)))
  assert.equal(policy.role('team', 'reader'), undefined)
  assert.equal(policy.clusterRole('reader'), undefined)
  assert.deepEqual(policy.roleBindings('team'), [])
  assert.deepEqual(policy.clusterRoleBindings(), [])
})
