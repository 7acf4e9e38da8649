/**
 * One connection from accept to close: who, which policy, which credential, sign, forward.
 */
export type { AuditSink, ConnectTo, Identifier, LeafAuthority, Verdict } from './ports.ts'
