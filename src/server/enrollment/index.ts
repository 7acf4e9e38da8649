/**
 * Daemons at the control plane: how they join, what they are called, how they come back, and what they may ask
 * once they have an SVID. Who calls is known from the verified certificate alone; each call is for the caller's
 * own scope. It does not compute scopes (`#server/reconcile`) and holds no keys (`#server/keys`).
 */
export { daemonNamespace, daemonNameOf, isReservedWorkloadId, serverWorkloadId } from './daemons.ts'
export type { EnrollmentOptions } from './enrollment.ts'
export { openNodeServer, type NodeServer, type NodeServerOptions } from './node-server.ts'
export { enrollmentPlugin } from './plugin.ts'
