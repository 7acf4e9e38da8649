import type { ResourceRequest, User } from './attributes.ts'
import {
  everything,
  isAllowed,
  mastersGroup,
  roleRules,
  rulesFor,
  type AccessPolicy,
  type RoleRef,
} from './policy.ts'
import { formatRule, maxCompared, uncoveredRules, type PolicyRule } from './rules.ts'

export const rbacGroup = 'rbac.authorization.k8s.io'

/** Shown at most: the list of a role with stars in it is long. */
const maxShown = 10

function may(
  policy: AccessPolicy,
  user: User,
  verb: string,
  kind: string,
  place: { namespace: string; name: string },
) {
  const request: ResourceRequest = {
    verb,
    group: rbacGroup,
    version: 'v1',
    resource: kind === 'ClusterRole' ? 'clusterroles' : 'roles',
    subresource: '',
    ...place,
  }
  return isAllowed(policy, user, request)
}

/** Why a user may not give anyone these rules; undefined when he has them all. */
function refusal(
  policy: AccessPolicy,
  user: User,
  { namespace, rules }: { namespace: string; rules: readonly PolicyRule[] },
): string | undefined {
  const missing = uncoveredRules(rulesFor(policy, user, namespace), rules)
  if (missing?.length === 0) return undefined
  const groups = JSON.stringify(user.groups)
  const who = `user ${JSON.stringify(user.name)} (groups=${groups}) is attempting to grant`
  if (!missing)
    return `${who} more than ${maxCompared} single RBAC permissions at once: make several roles with fewer`
  const more = missing.length > maxShown ? `\nand ${missing.length - maxShown} more` : ''
  const shown = missing.slice(0, maxShown).map(formatRule).join('\n')
  return `${who} RBAC permissions not currently held:\n${shown}${more}`
}

/** Why a user may not give a role these rules; undefined when nothing stands against it. `namespace` '': a ClusterRole. */
export function roleEscalation(
  policy: AccessPolicy,
  user: User,
  { namespace, name, rules }: { namespace: string; name: string; rules: readonly PolicyRule[] },
): string | undefined {
  const kind = namespace === '' ? 'ClusterRole' : 'Role'
  if (user.groups.includes(mastersGroup) || may(policy, user, 'escalate', kind, { namespace, name }))
    return undefined
  return refusal(policy, user, { namespace, rules })
}

/** Why a user may not write a role that gathers the rules of others: those to come are not known. */
export function aggregationEscalation(policy: AccessPolicy, user: User): string | undefined {
  if (uncoveredRules(rulesFor(policy, user, ''), everything)?.length === 0) return undefined
  return 'must have cluster-admin privileges to use an aggregationRule'
}

/** Why a user may not bind anyone to this role. `namespace` '': a ClusterRoleBinding. */
export function bindingEscalation(
  policy: AccessPolicy,
  user: User,
  { namespace, roleRef }: { namespace: string; roleRef: RoleRef },
): string | undefined {
  const { kind, name } = roleRef
  if (user.groups.includes(mastersGroup) || may(policy, user, 'bind', kind, { namespace, name }))
    return undefined
  const rules = roleRules(policy, roleRef, namespace)
  // SECURITY: bound ahead of its creation, a role would come into force without this check.
  if (!rules)
    return `role ${JSON.stringify(name)} not found: it can be bound ahead only by those who may bind it`
  return refusal(policy, user, { namespace, rules })
}
