/**
 * The control plane's audit trail: who did what, appended to JSON-lines files of bounded size, on disk before the
 * caller goes on. It does not filter or interpret records, and it never holds request bodies or secrets
 * (`#model/audit` has no room for them).
 */
export { openAuditTrail } from './trail.ts'
export type { AuditTrailOptions } from './trail.ts'
export type { AuditTrail } from './ports.ts'
