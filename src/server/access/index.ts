/**
 * Who uses the resource API, and what they may: bearer tokens of the administrator, of service accounts and of
 * external OpenID Connect providers, and role-based access control over what the store holds. It serves the
 * questions about rights; it does not stand before the routes itself (`#server/api` asks it).
 */
export { accessAdmission } from './admission.ts'
export { adminTokens, ensureAdminToken } from './admin-token.ts'
export { ensureBuiltInAccess } from './built-in.ts'
export { openAccessControl, type AccessControl } from './control.ts'
export type { Access, Hold, Principal } from './ports.ts'
export { auditedActor } from './principal.ts'
export { questions, tokenRequest, type Question } from './questions.ts'
export { tokenLifetime } from './service-account-tokens.ts'
