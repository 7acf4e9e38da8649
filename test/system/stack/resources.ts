// What the tests declare, as YAML.
export const trustDomain = 'tideway.example'
export const daemonGroup = 'riptides/daemongroup/test'
export const accountId = '123456789012'

/** Host of the agent runtime: what the identities of the tests are bound to. */
export const agentHost = 'bedrock-agent-runtime.us-east-1.amazonaws.com'
/** Path of one call, which names who made it and which of theirs it was. */
export const agentPath = (caller: string, number: number | string = '{}') =>
  `/agents/AGENT/agentAliases/${caller}/sessions/${number}/text`

export type Selectors = Readonly<Record<string, string | number>>

const document = (group: string, kind: string, name: string, spec: object, labels?: object) =>
  JSON.stringify({
    apiVersion: `${group}.riptides.io/v1alpha1`,
    kind,
    metadata: { name, namespace: 'riptides-system', ...labels },
    spec,
  })

export function identity(name: string, ...selectors: readonly Selectors[]): string {
  return document('core', 'WorkloadIdentity', name, {
    workloadID: name,
    scope: { daemonGroup: { id: daemonGroup } },
    selectors,
    connection: { tls: { intercept: true } },
  })
}

export function service(name: string, address: string, port = 443): string {
  return document('core', 'Service', name, {
    labels: { app: name },
    addresses: [{ address, port }],
    external: true,
  })
}

/** `endpoint`: of the STS to ask. */
export function source(name: string, endpoint?: string): string {
  return document('core', 'CredentialSource', name, {
    aws: {
      roleArn: `arn:aws:iam::${accountId}:role/${name}`,
      audience: ['sts.amazonaws.com'],
      lifetime: '3600s',
      region: 'us-east-1',
      ...(endpoint !== undefined && { endpoint }),
    },
  })
}

/** Of the workload of the same name unless given. */
export function binding(
  name: string,
  { from, to, workload = name }: { from: string; to: string; workload?: string },
): string {
  return document('core', 'CredentialBinding', name, {
    workloadID: workload,
    credentialSource: from,
    propagation: { injection: { selectors: [{ app: to }] } },
  })
}

export const stream = (...documents: readonly string[]) => documents.join('\n---\n')
