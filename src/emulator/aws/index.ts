/**
 * A small AWS in one process, without network or disk of its own: STS, IAM, S3, SSM and Bedrock behind
 * `Cloud.handle`. Signatures, tokens, trust policies and permissions are verified for real. It is no copy of AWS:
 * one account, in memory, the calls that the guide and the demo make; what it accepts proves nothing about a cloud.
 */
export { openCloud } from './cloud.ts'
export type { Cloud } from './cloud.ts'
export { openAccount } from './account.ts'
export type { Account } from './account.ts'
export { newId, newSecretAccessKey, openAccessKeys } from './credentials.ts'
export type { AccessKey, AccessKeys } from './credentials.ts'
export { openAccessLog } from './access-log.ts'
export type { AccessLog, AccessRecord } from './access-log.ts'
export { getJson } from './https-json.ts'
export type { JsonFetcher } from './oidc.ts'
export type { Answer } from './call.ts'
