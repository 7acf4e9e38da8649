/**
 * What each daemon gets and what it says about it. It does not speak to daemons itself (`#server/enrollment`).
 */
export type { FollowingDaemon, ReportedCondition, Scopes } from './ports.ts'
