import { createHash } from 'node:crypto'
import { mustRun } from './command.ts'
import type { Ceph } from './ceph.ts'

/** Calls IAM as an administrator does, by Debian's AWS CLI. */
async function iam(ceph: Ceph, args: readonly string[]): Promise<void> {
  await mustRun(['/usr/bin/aws', '--endpoint-url', ceph.url, '--output', 'json', 'iam', ...args], {
    env: ceph.adminEnv,
  })
}

/** Name of the provider in ARNs and condition keys: the issuer without its scheme. */
export function providerName(issuerUrl: string): string {
  return issuerUrl.replace(/^https:\/\//, '')
}

/** Registers an issuer by the SHA-1 thumbprint of its signing certificate: Ceph pins that, not the TLS chain. */
export async function registerIssuer(
  ceph: Ceph,
  { url, audience, signingCertificate }: { url: string; audience: string; signingCertificate: Buffer },
): Promise<void> {
  const thumbprint = createHash('sha1').update(signingCertificate).digest('hex')
  await iam(ceph, [
    'create-open-id-connect-provider',
    '--url',
    url,
    '--client-id-list',
    audience,
    '--thumbprint-list',
    thumbprint,
  ])
}

/** Makes a role that one workload can assume, and that may do everything in S3. Returns its ARN. */
export async function createRole(
  ceph: Ceph,
  {
    name,
    issuerUrl,
    audience,
    subject,
  }: { name: string; issuerUrl: string; audience: string; subject: string },
): Promise<string> {
  const provider = providerName(issuerUrl)
  // Compact JSON: Ceph does not read '+' in a form as a space.
  const trust = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: [`arn:aws:iam:::oidc-provider/${provider}`] },
        Action: ['sts:AssumeRoleWithWebIdentity'],
        Condition: { StringEquals: { [`${provider}:aud`]: audience, [`${provider}:sub`]: subject } },
      },
    ],
  })
  const permissions = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action: ['s3:*'], Resource: ['arn:aws:s3:::*'] }],
  })
  await iam(ceph, ['create-role', '--role-name', name, '--assume-role-policy-document', trust])
  await iam(ceph, [
    'put-role-policy',
    '--role-name',
    name,
    '--policy-name',
    'objects',
    '--policy-document',
    permissions,
  ])
  return `arn:aws:iam:::role/${name}`
}
