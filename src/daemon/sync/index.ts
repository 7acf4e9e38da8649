/**
 * The daemon's side of the control plane: joins with a token, keeps the node's SVID fresh, follows its scope over
 * one stream and acknowledges it, keeps the intermediate CA fit for that scope, and ships audit records.
 * It promises that credentials are not used past the offline lease as long as `onUpdate` and the lease's `onEnd`
 * are obeyed. It does not apply a scope itself (`#daemon/program`).
 */
export { boundHosts, openIntermediateKeeper } from './intermediate.ts'
export type { Intermediate, IntermediateKeeper } from './intermediate.ts'
export { openLease } from './lease.ts'
export type { Lease } from './lease.ts'
export { notJoined, openNode } from './node.ts'
export type { Node, NodeConnection, NodeSettings } from './node.ts'
export { runShipping } from './shipping.ts'
export { runStream } from './stream.ts'
export type { DaemonReport, ReportedCondition, StreamOptions } from './stream.ts'
