/**
 * The records of who did what: one vocabulary for daemon and server. Records never hold bodies, header values
 * or query values (security rule 24). It does not write them anywhere.
 */
export type { AuditDecision, AuditRecord, ChangeRecord, RequestEnd, RequestStart } from './audit.ts'
export { parseAuditRecord } from './audit.ts'
export { changedPaths } from './changed-paths.ts'
export { formatCircumstances, formatEnd, formatStart, type Circumstances } from './format.ts'
