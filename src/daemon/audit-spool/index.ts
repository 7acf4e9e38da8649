/**
 * The audit records of this node between a request and the control plane: a bounded folder of JSON lines, written
 * by each worker before a signed head leaves, shipped at least once and removed by the main process.
 * It promises that a record whose `start` resolved survives SIGKILL of any process, not a power cut.
 */
export { openSpoolReader } from './reader.ts'
export type { SpoolBatch, SpoolReader } from './reader.ts'
export { openAuditSpool } from './writer.ts'
export type { AuditSpool, SpoolOptions } from './writer.ts'
