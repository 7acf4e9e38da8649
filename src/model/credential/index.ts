/**
 * Temporary credentials as values: what a cloud returned for a workload's token. Secret parts are wrapped.
 * It neither obtains credentials (`server/exchange`) nor uses them (`#model/signing`).
 */
export type { AwsCredential, Credential } from './credential.ts'
export { refreshAt } from './refresh.ts'
