export interface AwsSetup {
  /** `aws`, `aws-cn`, `aws-us-gov`; `aws` unless given. */
  readonly partition?: string
  /** Twelve digits. */
  readonly accountId: string
  readonly roleName: string
  /** Path of the role, such as `/teams/a/`; `/` unless given. */
  readonly rolePath?: string
  /** The issuer's URL, as it stands in tokens. */
  readonly issuerUrl: string
  readonly audience: string
  /** SPIFFE ID of the only workload that may assume the role. */
  readonly subject: string
}

/** SECURITY: one word for the shell, whatever it holds: parts of it come from resources that others may edit. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** Condition keys and the provider's ARN name the issuer without its scheme (IAM: OIDC federation). */
function providerName(issuerUrl: string): string {
  return issuerUrl.replace(/^https:\/\//, '')
}

function providerArn({ partition = 'aws', accountId, issuerUrl }: AwsSetup): string {
  return `arn:${partition}:iam::${accountId}:oidc-provider/${providerName(issuerUrl)}`
}

/** A trust policy pinned to audience and subject: without `:sub` every workload of the issuer could assume the role. */
export function trustPolicy(setup: AwsSetup): object {
  const { issuerUrl, audience, subject } = setup
  const provider = providerName(issuerUrl)
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: providerArn(setup) },
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

// Where AWS does not know the CA by itself it compares the thumbprint: this one fits none.
const noThumbprint = '0'.repeat(40)

/**
 * A shell script of AWS CLI calls that an administrator of the account can read, and then run; a second time it
 * changes what is there. `caThumbprint`: SHA-1 of the CA of the issuer's server where that is a private one.
 */
export function awsSetupScript(setup: AwsSetup, { caThumbprint }: { caThumbprint?: string } = {}): string {
  const { accountId, roleName, rolePath = '/', issuerUrl, audience, subject } = setup
  return `#!/bin/sh
# Lets the workload ${subject}
# assume the role ${roleName} in account ${accountId}. Run it with administrator access to that account.
set -eu
provider=${quote(providerArn(setup))}
audience=${quote(audience)}
role=${quote(roleName)}
trust=${quote(JSON.stringify(trustPolicy(setup)))}
# What the workload may do: replace actions and resources by what it needs.
permissions=${quote(JSON.stringify(permissionsPolicy(['sts:GetCallerIdentity'], ['*'])))}

# 1. The identity provider. AWS fetches its documents from the internet: it must reach
#    ${issuerUrl}/.well-known/openid-configuration
#    Public certificate authorities are trusted by themselves; older versions of the AWS CLI still demand a thumbprint.
if aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" >/dev/null 2>&1; then
  aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider" --client-id "$audience"
else
  aws iam create-open-id-connect-provider --url ${quote(issuerUrl)} --client-id-list "$audience" \\
    --thumbprint-list ${caThumbprint ?? noThumbprint}
fi

# 2. The role, which only this one workload can assume: the trust policy pins the audience and the subject.
if aws iam get-role --role-name "$role" >/dev/null 2>&1; then
  aws iam update-assume-role-policy --role-name "$role" --policy-document "$trust"
else
  aws iam create-role --role-name "$role" --path ${quote(rolePath)} --assume-role-policy-document "$trust"
fi

# 3. Its permissions.
aws iam put-role-policy --role-name "$role" --policy-name tideway --policy-document "$permissions"
`
}
