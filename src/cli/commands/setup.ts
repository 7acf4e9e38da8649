import { X509Certificate } from 'node:crypto'
import { Command } from 'commander'
import { Fault } from '#base/errors'
import { awsSetupScript, type AwsSetup } from '#cli/aws'
import { contextFilePath, openFetch, selectContext, type Context } from '#cli/context'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

interface AwsOptions {
  accountId?: string
  namespace?: string
  issuerUrl?: string
}

const roleArnPattern =
  /^arn:(?<partition>aws[\w-]*):iam::(?<account>\d{12})?:role(?<path>\/(?:[\w+=,.@-]+\/)*)(?<name>[\w+=,.@-]{1,64})$/

/** What the server's discovery document says of itself (OpenID Connect Discovery 1.0, section 4.2). */
async function issuerOf({ signal }: Cli, { server, caPem }: Context): Promise<string> {
  const response = await openFetch({ caPem, signal })(`${server}/oidc/.well-known/openid-configuration`)
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
  const { roleArn, audience = [] } = source.spec.aws
  const role = roleArnPattern.exec(roleArn)?.groups
  const accountId = options.accountId ?? role?.['account']
  if (!role || !accountId) throw new Fault('SETTING_INVALID', `${roleArn} is not the ARN of a role`)
  if (!/^\d{12}$/.test(accountId)) throw new Fault('SETTING_INVALID', '--account-id: 12 digits are expected')
  const context = selectContext(contextFilePath(cli.env))
  const issuerUrl = options.issuerUrl ?? (await issuerOf(cli, context))
  if (URL.parse(issuerUrl)?.protocol !== 'https:' || /\s/.test(issuerUrl))
    throw new Fault('SETTING_INVALID', '--issuer-url: an https:// URL is expected')
  const { origin } = new URL(issuerUrl)
  // AWS wants SHA-1 here (IAM: thumbprints of OIDC providers); it decides nothing about the server's identity to us.
  const caThumbprint =
    origin === context.server && context.caPem !== undefined
      ? new X509Certificate(context.caPem).fingerprint.replaceAll(':', '').toLowerCase()
      : undefined
  const { partition, path, name } = role as { partition: string; path: string; name: string }
  const setup: AwsSetup = {
    partition,
    accountId,
    rolePath: path,
    roleName: name,
    issuerUrl,
    audience: audience[0] ?? 'sts.amazonaws.com',
    subject,
  }
  cli.terminal.print(awsSetupScript(setup, caThumbprint === undefined ? {} : { caThumbprint }))
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
