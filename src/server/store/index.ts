/**
 * Everything the control plane keeps: an ordered, revisioned key-value store, and on top of it the typed objects
 * of the resource kinds. A write that returned is on disk. It does not decide what objects cause
 * (`#server/reconcile`) nor who may write them (`#server/api`).
 */
export { followEntries } from './follow.ts'
export { readAll } from './pages.ts'
export { openMemoryStore } from './memory-store.ts'
export { runtimePrefix } from './ports.ts'
export type { Store, StoreCompare, StoreEntry, StoreEvent, StoreKey, StoreOperation } from './ports.ts'
export { openPostgresStore, type PostgresStoreOptions } from './postgres-store.ts'
export {
  parsePostgresUrl,
  passwordCredentialName,
  type PasswordPlaces,
  type PostgresTarget,
} from './postgres-target.ts'
export type { Sealer } from './resource-record.ts'
export { openSqliteStore } from './sqlite-store.ts'
export { openResourceCache } from './resource-cache.ts'
export type { ResourceCache } from './resource-cache.ts'
export { openResources } from './resources.ts'
export type { ResourceEvent, Resources } from './resources.ts'
export { causesOf, type RefusalCause } from './resource-object.ts'
export {
  contentFinalizer,
  foregroundFinalizer,
  isBeingDeleted,
  orphanFinalizer,
  type PropagationPolicy,
} from './deletion.ts'
export type { Patch } from './patch.ts'
export type { Admission, DeleteOptions, Review, WriteOptions } from './write-options.ts'
