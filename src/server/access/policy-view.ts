import type { AccessPolicy, Binding } from '#model/access'
import type { ClusterRoleBinding, Resource, RoleBinding } from '#model/resource'
import { isBeingDeleted, type ResourceCache } from '#server/store'

const bindingOf = ({ subjects = [], roleRef }: RoleBinding | ClusterRoleBinding): Binding => ({
  subjects,
  roleRef,
})

/** SECURITY: what is being deleted grants nothing any more, whatever its finalizers wait for. */
const holds = (object: Resource) => !isBeingDeleted(object)

/** The roles and bindings of the cache as a policy. */
export function policyView(cache: Pick<ResourceCache, 'get' | 'list'>): AccessPolicy {
  return {
    role(namespace, name) {
      const object = cache.get('Role', namespace, name)
      return object && holds(object) ? (object.rules ?? []) : undefined
    },
    clusterRole(name) {
      const object = cache.get('ClusterRole', '', name)
      return object && holds(object) ? (object.rules ?? []) : undefined
    },
    roleBindings: (namespace) => cache.list('RoleBinding', namespace).filter(holds).map(bindingOf),
    clusterRoleBindings: () => cache.list('ClusterRoleBinding').filter(holds).map(bindingOf),
  }
}
