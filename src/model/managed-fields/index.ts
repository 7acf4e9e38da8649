/**
 * Who owns which field of an object: the rules of Kubernetes' server-side apply (structured-merge-diff), for
 * objects that a JSON Schema with Kubernetes' list and map types describes. Pure: it neither reads nor writes
 * objects, and knows one version of each kind.
 */
export { conflictTexts } from './conflict-text.ts'
export { decodeManagers, encodeManagers, sameManagers, type ManagedFieldsEntry } from './entries.ts'
export { below, structureOf, type Structure } from './structure.ts'
export { sameJson } from './typed-value.ts'
export {
  applied,
  isSameManager,
  updated,
  type Applied,
  type Conflict,
  type Manager,
  type ManagerId,
} from './updater.ts'
