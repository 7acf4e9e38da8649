/**
 * Who trusts the intercept root: the bundle that workloads are given, the host's own store (only when asked to),
 * and a check of what the runtimes of this host really accept. It signs nothing.
 */
export { readSystemRoots, systemBundlePaths, trustEnvironment, writeTrustBundle } from './bundle.ts'
export { checkTrust } from './check.ts'
export type { TrustFinding } from './check.ts'
export { openTrustListeners } from './listener.ts'
export type { TrustListeners } from './listener.ts'
export type { TrustTarget } from './runtimes.ts'
export { findStore, installRoot, uninstallRoot } from './store.ts'
export type { StoreKind } from './store.ts'
