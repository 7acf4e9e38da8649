/**
 * Which identity a process bears: matches the attributes of a process against selectors and picks at most one
 * identity. It promises that what a process can write about itself never decides between two identities. It
 * collects nothing: attributes come from `#daemon/attestation`.
 */
export { chooseIdentity, matchIdentities } from './choose.ts'
export type { Choice, IdentityMatch } from './choose.ts'
export { explainMatch } from './explain.ts'
export { environmentNameOf, isCollected, isWeak, selectorValues } from './keys.ts'
export { matchSelector } from './match.ts'
export type { Attributes, SelectorMatch } from './match.ts'
