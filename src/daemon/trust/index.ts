/**
 * Who trusts the intercept root: the bundle that workloads are given, the host's own store (only when asked to),
 * and a check of what the runtimes of this host really accept. It signs nothing.
 */
export { readSystemRoots, systemBundlePaths, trustEnvironment, writeTrustBundle } from './bundle.ts'
export { findStore, installRoot, uninstallRoot } from './store.ts'
export type { StoreKind } from './store.ts'
