export interface AwsSetup {
  /** Twelve digits. */
  readonly accountId: string
  readonly roleName: string
  /** The issuer's URL, as it stands in tokens. */
  readonly issuerUrl: string
  readonly audience: string
  /** SPIFFE ID of the only workload that may assume the role. */
  readonly subject: string
}

/** Condition keys and the provider's ARN name the issuer without its scheme (IAM: OIDC federation). */
function providerName(issuerUrl: string): string {
  return issuerUrl.replace(/^https:\/\//, '')
}

/** A trust policy pinned to audience and subject: without `:sub` every workload of the issuer could assume the role. */
export function trustPolicy({ accountId, issuerUrl, audience, subject }: AwsSetup): object {
  const provider = providerName(issuerUrl)
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${accountId}:oidc-provider/${provider}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: { StringEquals: { [`${provider}:aud`]: audience, [`${provider}:sub`]: subject } },
      },
    ],
  }
}

/** Allows `actions` on `resources`. */
export function permissionsPolicy(actions: readonly string[], resources: readonly string[]): object {
  return { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: actions, Resource: resources }] }
}

/** A shell script of AWS CLI calls that an administrator of the account can read, and then run. */
export function awsSetupScript(setup: AwsSetup): string {
  const { accountId, roleName, issuerUrl, audience, subject } = setup
  return `#!/bin/sh
# Lets the workload ${subject}
# assume the role ${roleName} in account ${accountId}. Run it with administrator access to that account.
set -eu

# 1. The identity provider: AWS fetches ${issuerUrl}/.well-known/openid-configuration from the internet.
#    AWS trusts public certificate authorities by itself; for a private one add --thumbprint-list.
aws iam create-open-id-connect-provider \\
  --url '${issuerUrl}' \\
  --client-id-list '${audience}'

# 2. The role, which only this one workload can assume: the trust policy pins the audience and the subject.
aws iam create-role \\
  --role-name '${roleName}' \\
  --assume-role-policy-document '${JSON.stringify(trustPolicy(setup))}'

# 3. What the workload may do. Replace the actions and resources by what it needs.
aws iam put-role-policy \\
  --role-name '${roleName}' \\
  --policy-name tideway \\
  --policy-document '${JSON.stringify(permissionsPolicy(['sts:GetCallerIdentity'], ['*']))}'
`
}
