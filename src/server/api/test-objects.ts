import type { Draft, ResourceDraft, Service } from '#model/resource'

export const core = 'core.riptides.io/v1alpha1'
export const auth = 'auth.riptides.io/v1alpha1'
export const rbac = 'rbac.authorization.k8s.io/v1'
export const token = 'join-token-that-nobody-may-read'
export const value = 'secret-value-that-nobody-may-read'

export const service = (labels: Record<string, string> = { app: 'x' }): Draft<Service> => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'aws' },
  spec: { labels, addresses: [{ address: 'sts.amazonaws.com', port: 443 }] },
})

const readServices = { verbs: ['get'], apiGroups: ['core.riptides.io'], resources: ['services'] }

/** One object of every kind, with secrets in them that nobody may read back. */
export const drafts: readonly ResourceDraft[] = [
  service(),
  {
    apiVersion: core,
    kind: 'WorkloadIdentity',
    metadata: { name: 'app' },
    spec: { workloadID: 'my/app', scope: { daemon: { id: 'd/1' } }, selectors: [{ 'process:uid': 1000 }] },
  },
  {
    apiVersion: core,
    kind: 'CredentialSource',
    metadata: { name: 'aws' },
    spec: { aws: { roleArn: 'arn:aws:iam::123456789012:role/app' } },
  },
  {
    apiVersion: core,
    kind: 'CredentialBinding',
    metadata: { name: 'app' },
    spec: {
      workloadID: 'my/app',
      credentialSource: 'aws',
      propagation: { injection: { selectors: [{ app: 'x' }] } },
    },
  },
  {
    apiVersion: core,
    kind: 'WorkloadCredential',
    metadata: { name: 'app' },
    spec: { workloadID: 'my/app', credentialSource: 'aws' },
  },
  {
    apiVersion: core,
    kind: 'Daemon',
    metadata: { name: 'd1' },
    spec: { workloadID: 'd/1', claimerType: 'JoinToken' },
  },
  { apiVersion: auth, kind: 'Verifier', metadata: { name: 'join' }, spec: { joinToken: {} } },
  { apiVersion: auth, kind: 'JoinToken', metadata: { name: 'node' }, spec: { token } },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } },
  {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'aws.1' },
    involvedObject: { kind: 'Service', name: 'aws' },
    reason: 'Failed',
  },
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } },
  { apiVersion: rbac, kind: 'Role', metadata: { name: 'reader' }, rules: [readServices] },
  {
    apiVersion: rbac,
    kind: 'RoleBinding',
    metadata: { name: 'readers' },
    subjects: [{ kind: 'ServiceAccount', name: 'robot' }],
    roleRef: { kind: 'Role', name: 'reader' },
  },
  { apiVersion: rbac, kind: 'ClusterRole', metadata: { name: 'org:reader' }, rules: [readServices] },
  {
    apiVersion: rbac,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'org:readers' },
    subjects: [{ kind: 'Group', name: 'corp:dev' }],
    roleRef: { kind: 'ClusterRole', name: 'org:reader' },
  },
  {
    apiVersion: core,
    kind: 'IdentityProvider',
    metadata: { name: 'google' },
    spec: {
      name: 'Google',
      google: { clientID: 'tideway', clientSecret: value, requiredHostedDomains: ['example.org'] },
    },
  },
  {
    apiVersion: core,
    kind: 'OIDCClient',
    metadata: { name: 'cli' },
    spec: {
      redirectUrls: ['http://127.0.0.1/callback'],
      native: {},
      identityProvider: 'google',
      clientID: 'tideway',
    },
  },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { key: value } },
]
