/**
 * Steers workloads' connections to the daemon and says who opened each one.
 */
export type { ConnectionOrigin } from './origin.ts'
