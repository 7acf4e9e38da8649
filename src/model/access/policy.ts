import { isPathRequest, type AccessRequest, type User } from './attributes.ts'
import { ruleAllows, type PolicyRule } from './rules.ts'
import { serviceAccountName } from './service-account.ts'

/** Members of this group may do everything, whatever roles there are: nobody can lock the administrator out. */
export const mastersGroup = 'system:masters'
export const authenticatedGroup = 'system:authenticated'

export interface Subject {
  readonly kind: string
  readonly name: string
  readonly namespace?: string
}

export interface RoleRef {
  readonly kind: string
  readonly name: string
}

export interface Binding {
  readonly subjects: readonly Subject[]
  readonly roleRef: RoleRef
}

/** The roles and bindings that are in force. */
export interface AccessPolicy {
  role(namespace: string, name: string): readonly PolicyRule[] | undefined
  clusterRole(name: string): readonly PolicyRule[] | undefined
  /** Of one namespace. */
  roleBindings(namespace: string): readonly Binding[]
  clusterRoleBindings(): readonly Binding[]
}

/** `namespace`: that of the binding, '' for one of the whole cluster. */
function isSubject(user: User, { kind, name, namespace }: Subject, bindingNamespace: string): boolean {
  switch (kind) {
    case 'User':
      return user.name === name
    case 'Group':
      return user.groups.includes(name)
    case 'ServiceAccount': {
      const home = namespace ?? bindingNamespace
      return home !== '' && user.name === serviceAccountName(home, name)
    }
    default:
      return false
  }
}

/** The rules of a role as seen from a binding in `namespace` ('': a ClusterRoleBinding); undefined: no such role. */
export function roleRules(
  policy: AccessPolicy,
  { kind, name }: RoleRef,
  namespace: string,
): readonly PolicyRule[] | undefined {
  if (kind === 'ClusterRole') return policy.clusterRole(name)
  return kind === 'Role' && namespace !== '' ? policy.role(namespace, name) : undefined
}

function boundRules(policy: AccessPolicy, user: User, bindings: readonly Binding[], namespace: string) {
  return bindings
    .filter(({ subjects }) => subjects.some((subject) => isSubject(user, subject, namespace)))
    .flatMap(({ roleRef }) => roleRules(policy, roleRef, namespace) ?? [])
}

export const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
]

/** All that a user may do in a namespace ('': what holds in all of them, and for paths). */
export function rulesFor(policy: AccessPolicy, user: User, namespace: string): readonly PolicyRule[] {
  if (user.groups.includes(mastersGroup)) return everything
  const inCluster = boundRules(policy, user, policy.clusterRoleBindings(), '')
  if (namespace === '') return inCluster
  return [...inCluster, ...boundRules(policy, user, policy.roleBindings(namespace), namespace)]
}

/** Whether a user may make a request: when some rule allows it. */
export function isAllowed(policy: AccessPolicy, user: User, request: AccessRequest): boolean {
  const namespace = isPathRequest(request) ? '' : request.namespace
  return rulesFor(policy, user, namespace).some((rule) => ruleAllows(rule, request))
}
