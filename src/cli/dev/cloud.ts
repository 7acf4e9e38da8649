import { createHash } from 'node:crypto'
import { request } from 'node:https'
import { Fault } from '#base/errors'
import type { Clock } from '#base/clock'
import type { AwsCredential } from '#model/credential'
import { signSigV4 } from '#model/signing'

/** Where the emulator listens and how to prove it. */
export interface Cloud {
  readonly address: string
  readonly port: number
  readonly caPem: string
  readonly root: AwsCredential
  readonly clock: Clock
}

/** One signed IAM call, as `aws iam` makes it. Says whether it was done, or was done before. */
async function callIam(
  cloud: Cloud,
  action: string,
  parameters: Readonly<Record<string, string>>,
): Promise<void> {
  const host = 'iam.amazonaws.com'
  const body = new URLSearchParams({ Action: action, Version: '2010-05-08', ...parameters }).toString()
  const headers = [{ name: 'content-type', value: 'application/x-www-form-urlencoded' }]
  const payloadHash = createHash('sha256').update(body).digest('hex')
  const signed = signSigV4(
    { method: 'POST', host, path: '/', query: '', headers, payloadHash },
    cloud.root,
    { service: 'iam', region: 'us-east-1' },
    cloud.clock.now(),
  )
  const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const outgoing = request(
      {
        host: cloud.address,
        port: cloud.port,
        servername: host,
        ca: cloud.caPem,
        method: 'POST',
        path: '/',
        headers: {
          host,
          ...Object.fromEntries([...headers, ...signed.headers].map(({ name, value }) => [name, value])),
        },
      },
      (incoming) => {
        incoming.setEncoding('utf8')
        let text = ''
        incoming.on('data', (chunk: string) => (text += chunk))
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }))
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
  if (answer.status !== 200 && answer.status !== 409) {
    throw new Fault('EXCHANGE_FAILED', `iam ${action}: status ${answer.status}: ${answer.text.slice(0, 500)}`)
  }
}

/**
 * Prepares the account as the guide does by hand: the OIDC provider, a role whose trust policy pins audience and
 * subject, and a policy that allows the agent to be invoked.
 */
export async function prepareAccount(
  cloud: Cloud,
  account: {
    issuerUrl: string
    audience: string
    roleName: string
    trustPolicy: string
    permissions: string
  },
): Promise<void> {
  const { issuerUrl, audience, roleName, trustPolicy, permissions } = account
  await callIam(cloud, 'CreateOpenIDConnectProvider', { Url: issuerUrl, 'ClientIDList.member.1': audience })
  await callIam(cloud, 'CreateRole', { RoleName: roleName, AssumeRolePolicyDocument: trustPolicy })
  await callIam(cloud, 'PutRolePolicy', {
    RoleName: roleName,
    PolicyName: 'tideway',
    PolicyDocument: permissions,
  })
}
