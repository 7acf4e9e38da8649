import type { ManagedPolicy } from './account.ts'
import { parsePolicy } from './policy.ts'

/** The AWS-managed policies that guides attach. Their texts are shorter than AWS's and allow the same calls here. */
const actions: Readonly<Record<string, readonly string[]>> = {
  AdministratorAccess: ['*'],
  AmazonBedrockFullAccess: ['bedrock:*'],
  AmazonS3FullAccess: ['s3:*'],
  AmazonS3ReadOnlyAccess: ['s3:Get*', 's3:List*'],
  AmazonSSMFullAccess: ['ssm:*'],
  AmazonSSMReadOnlyAccess: ['ssm:Describe*', 'ssm:Get*', 'ssm:List*'],
}

export const managedPolicies: readonly ManagedPolicy[] = Object.entries(actions).map(([name, Action]) => {
  const text = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action, Resource: '*' }],
  })
  return {
    name,
    path: '/',
    id: `ANPAEMULATED${name.toUpperCase()}`,
    arn: `arn:aws:iam::aws:policy/${name}`,
    createdAt: 0,
    text,
    policy: parsePolicy(text, 'identity'),
  }
})
