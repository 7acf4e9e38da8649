/**
 * The structured log: fixed event names, data only in fields, one JSON object a line on standard error.
 * It never receives secrets (they live in `#base/secret`) and it is not the audit trail.
 */
export { openLog, silentLog } from './log.ts'
export type { Log, LogFields, LogLevel } from './log.ts'
export { pacedLog } from './paced.ts'
