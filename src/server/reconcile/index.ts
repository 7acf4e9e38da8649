/**
 * What follows from the declared objects: which credentials are exchanged, what each daemon gets, and the state of
 * every object, true at all times. A change costs what it concerns, and the order in which changes came never matters. It neither talks to clouds (`server/exchange`) nor to daemons (`server/enrollment`).
 */
export { openChanges, type Changes } from './changes.ts'
export { openReconciler, type Reconciler, type ReconcilerOptions } from './controller.ts'
export { openScopes, type ScopeStreams } from './scopes.ts'
export { noReports, openStreamReports, type StreamReports } from './stream-reports.ts'
export { identityAdmission } from './admission.ts'
export { bindingAdmission } from './binding-admission.ts'
export { plainTextAdmission } from './plain-text-admission.ts'
export type { FollowingDaemon, ReportedCondition, Scopes } from './ports.ts'
