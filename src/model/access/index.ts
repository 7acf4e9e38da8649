/**
 * Who may do what: the rules of Kubernetes' role-based access control (RBAC) over users, requests, roles and
 * bindings, and the roles that every server has. Pure: it neither finds out who a user is nor where roles are kept
 * (`#server/access`).
 */
export { aggregatedRules, type LabelSelector } from './aggregation.ts'
export {
  accessRequest,
  forbiddenMessage,
  isPathRequest,
  type AccessRequest,
  type PathRequest,
  type RequestLine,
  type ResourceRequest,
  type User,
  saysYes,
} from './attributes.ts'
export { userFromClaims, type ClaimedUser, type ClaimMapping } from './claims.ts'
export { builtInBindings, builtInRoles } from './built-in-roles.ts'
export { aggregationEscalation, bindingEscalation, rbacGroup, roleEscalation } from './escalation.ts'
export { impersonated, impersonationOf, impersonationRequests, type Impersonation } from './impersonation.ts'
export type { LoginClient } from './login-client.ts'
export {
  authenticatedGroup,
  isAllowed,
  mastersGroup,
  rulesFor,
  type AccessPolicy,
  type Binding,
  type RoleRef,
  type Subject,
} from './policy.ts'
export { ruleAllows, uncoveredRules, type PolicyRule } from './rules.ts'
export { serviceAccountGroups, serviceAccountName } from './service-account.ts'
