/**
 * What an operator sets up in AWS so that it trusts our issuer: policies and the commands that create them.
 * It prints and computes; it never calls AWS.
 */
export { awsSetupScript, permissionsPolicy, trustPolicy } from './setup.ts'
export type { AwsSetup } from './setup.ts'
