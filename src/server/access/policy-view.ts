import type { AccessPolicy, Binding } from '#model/access'
import type { ClusterRoleBinding, RoleBinding } from '#model/resource'
import type { ResourceCache } from '#server/store'

const bindingOf = ({ subjects = [], roleRef }: RoleBinding | ClusterRoleBinding): Binding => ({
  subjects,
  roleRef,
})

/** The roles and bindings of the cache as a policy. */
export function policyView(cache: Pick<ResourceCache, 'get' | 'list'>): AccessPolicy {
  return {
    role(namespace, name) {
      const object = cache.get('Role', namespace, name)
      return object && (object.rules ?? [])
    },
    clusterRole(name) {
      const object = cache.get('ClusterRole', '', name)
      return object && (object.rules ?? [])
    },
    roleBindings: (namespace) => cache.list('RoleBinding', namespace).map(bindingOf),
    clusterRoleBindings: () => cache.list('ClusterRoleBinding').map(bindingOf),
  }
}
