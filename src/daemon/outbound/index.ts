/**
 * The data plane of one worker: a connection from accept to close. Who opened it, what the policy grants, which
 * credential; sign, send to the verified host, record. What is not bound passes through untouched.
 * It promises that a credential leaves only inside a request to the host that its Service names and that was
 * verified, and that every such request and every refusal is recorded. It does not capture connections, attest
 * processes, or talk to the control plane.
 */
export { openDataPlane } from './data-plane.ts'
export type { DataPlane, DataPlaneOptions, DataPlaneStats } from './data-plane.ts'
export type { Condition, Problem } from './conditions.ts'
export { Counts } from './bounds.ts'
export { defaultLimits } from './limits.ts'
export type { Limits } from './limits.ts'
export { lookUpThreads } from './lookups.ts'
export type { LookUp, Resolve } from './lookups.ts'
export type { UpstreamTrust } from './trust.ts'
export type { AuditSink, ConnectTo, Identifier, LeafAuthority, Verdict } from './ports.ts'
