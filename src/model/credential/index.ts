/**
 * Credentials as values: what a cloud returned for a workload's token, or what a request carries as it is. Secret
 * parts are wrapped. It neither obtains credentials (`server/exchange`) nor uses them (`#model/signing`,
 * `daemon/outbound`).
 */
export { credentialId, isCredentialHeader, isHeaderValue } from './credential.ts'
export type {
  AwsCredential,
  BasicCredential,
  BearerCredential,
  Credential,
  HeaderCredential,
} from './credential.ts'
export { overdueAt, refreshAt } from './refresh.ts'
