/**
 * Which connection of an identity is left alone, refused, or signed, and with what. Compiled once for every scope;
 * each answer afterwards takes constant time. It does not say who connected (`#model/selectors`), resolves no
 * name, and does not judge whether a credential is still valid.
 */
export { openPolicy, wildcardOf } from './policy.ts'
export type { Decision, Grant, Policy, Query } from './policy.ts'
