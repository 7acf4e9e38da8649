import { Command } from 'commander'
import { Fault } from '#base/errors'
import { awsSetupScript } from '#cli/aws'
import { contextFilePath, openFetch, selectContext } from '#cli/context'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

interface AwsOptions {
  accountId?: string
  namespace?: string
  issuerUrl?: string
}

/** What the server's discovery document says of itself (OpenID Connect Discovery 1.0, section 4.2). */
async function issuerOf({ env }: Cli): Promise<string> {
  const { server, caPem } = selectContext(contextFilePath(env))
  const response = await openFetch({ caPem })(`${server}/oidc/.well-known/openid-configuration`)
  const { issuer } = (await response.json()) as { issuer?: string }
  if (!issuer) throw new Fault('SERVER_UNREACHABLE', `${server} has no OIDC discovery document`)
  return issuer
}

async function setupAws(cli: Cli, bindingName: string, options: AwsOptions): Promise<void> {
  const api = openApi(cli, options)
  const binding = await api.get('CredentialBinding', bindingName)
  const source = await api.get('CredentialSource', binding.spec.credentialSource)
  const identities = (await api.list('WorkloadIdentity')).items
  const identity = identities.find(({ spec }) => spec.workloadID === binding.spec.workloadID)
  const subject = identity?.status?.spiffeID
  if (!subject) {
    throw new Fault(
      'RESOURCE_NOT_FOUND',
      `no WorkloadIdentity has the workloadID ${JSON.stringify(binding.spec.workloadID)}`,
    )
  }
  if (!source.spec.aws)
    throw new Fault('SETTING_INVALID', `credential source ${source.metadata.name} is not of type aws`)
  const role = /^arn:[\w-]+:iam::(\d{12})?:role\/(?:.*\/)?([\w+=,.@-]+)$/.exec(source.spec.aws.roleArn)
  const accountId = options.accountId ?? role?.[1]
  if (!role || !accountId)
    throw new Fault('SETTING_INVALID', `${source.spec.aws.roleArn} is not the ARN of a role`)
  cli.terminal.print(
    awsSetupScript({
      accountId,
      roleName: role[2]!,
      issuerUrl: options.issuerUrl ?? (await issuerOf(cli)),
      audience: source.spec.aws.audience?.[0] ?? 'sts.amazonaws.com',
      subject,
    }),
  )
  cli.terminal.say(`# Read it, then run it with administrator access to account ${accountId}.
# Workloads must trust the daemon's intercept CA: 'tideway trust check' says which runtimes on a node do, and
# which variable to set for those that do not.`)
}

export function setupCommand(cli: Cli): Command {
  const command = new Command('setup').description(
    'Print what to set up in a cloud so that it trusts our tokens',
  )
  command
    .command('aws <BINDING>')
    .description(
      'Print the AWS CLI calls for the role of a CredentialBinding: OIDC provider, role, trust policy',
    )
    .option('-n, --namespace <NAME>', 'namespace of the binding')
    .option('--account-id <ID>', 'account of the role, when its ARN does not tell')
    .option('--issuer-url <URL>', "public issuer URL, when it is not the server's own (see: oidc publish)")
    .action((binding: string, options: AwsOptions) => setupAws(cli, binding, options))
  return command
}
