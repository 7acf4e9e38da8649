import { authenticatedGroup, mastersGroup, type Binding } from './policy.ts'
import type { PolicyRule } from './rules.ts'

const core = 'core.riptides.io'
const auth = 'auth.riptides.io'
const rbac = 'rbac.authorization.k8s.io'
const read = ['get', 'list', 'watch']
const write = ['create', 'delete', 'deletecollection', 'patch', 'update']

const on = (group: string, resources: string[], verbs: string[]): PolicyRule => ({
  apiGroups: [group],
  resources,
  verbs,
})

const declared = [
  'workloadidentitys',
  'services',
  'credentialsources',
  'credentialbindings',
  'workloadcredentials',
]

// SECURITY: no Secrets (not even which there are), and neither roles nor providers: who may do what is not theirs.
const viewer: PolicyRule[] = [
  on(core, [...declared, 'daemons'], read),
  on(auth, ['verifiers', 'jointokens'], read),
  on('', ['namespaces', 'events', 'serviceaccounts'], read),
  on('events.k8s.io', ['events'], read),
]

const editor: PolicyRule[] = [
  ...viewer,
  on(core, declared, write),
  on(core, ['credentialbindings/rotate'], ['create']),
  on('', ['secrets'], [...read, ...write]),
]

// SECURITY: an IdentityProvider says who anybody is, and a ClusterRole what holds everywhere: they stay with
// cluster-admin. Roles can be written within what their writer may do.
const admin: PolicyRule[] = [
  ...editor,
  on(core, ['daemons'], write),
  on(core, ['identityproviders', 'oidcclients'], read),
  on(auth, ['verifiers', 'jointokens'], write),
  on('', ['serviceaccounts'], write),
  on('', ['serviceaccounts/token'], ['create']),
  on(rbac, ['roles', 'rolebindings'], [...read, ...write]),
  on('authorization.k8s.io', ['localsubjectaccessreviews'], ['create']),
  { nonResourceURLs: ['/audit', '/keys'], verbs: ['get'] },
  { nonResourceURLs: ['/keys/rotate'], verbs: ['post'] },
]

const discovery = ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', '/version', '/version/']

/** The ClusterRoles that every server has, by name. */
export const builtInRoles: Readonly<Record<string, { description: string; rules: readonly PolicyRule[] }>> = {
  'cluster-admin': {
    description: 'Everything, everywhere.',
    rules: [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ],
  },
  admin: {
    description:
      'Everything in a namespace, its roles within the own rights included; nothing about who users are.',
    rules: admin,
  },
  editor: {
    description: 'Declares workloads, services, sources, bindings and Secrets; lets nobody in.',
    rules: editor,
  },
  viewer: {
    description: 'Reads what is declared and its states, without Secrets and rights.',
    rules: viewer,
  },
  daemon: {
    description: 'For whoever installs nodes: makes join tokens and sees the daemons that came of them.',
    rules: [
      on(auth, ['jointokens'], ['create', 'delete', 'get', 'list', 'watch']),
      on(core, ['daemons'], read),
      on(auth, ['verifiers'], read),
    ],
  },
  'system:auth-delegator': {
    description:
      'For servers that let this one judge tokens and rights: asks whose a token is and who may what.',
    rules: [
      on('authentication.k8s.io', ['tokenreviews'], ['create']),
      on('authorization.k8s.io', ['subjectaccessreviews'], ['create']),
    ],
  },
  'system:basic-user': {
    description: 'Asks who one is and what one may do.',
    rules: [
      on('authentication.k8s.io', ['selfsubjectreviews'], ['create']),
      on('authorization.k8s.io', ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'], ['create']),
    ],
  },
  'system:discovery': {
    description: 'Reads which kinds there are.',
    rules: [
      { nonResourceURLs: discovery, verbs: ['get', 'head'] },
      on('apiextensions.k8s.io', ['customresourcedefinitions'], ['list']),
    ],
  },
}

const bound = (role: string, group: string): Binding => ({
  roleRef: { kind: 'ClusterRole', name: role },
  subjects: [{ kind: 'Group', name: group }],
})

/** The ClusterRoleBindings that every server has, by name. */
export const builtInBindings: Readonly<Record<string, Binding>> = {
  'cluster-admin': bound('cluster-admin', mastersGroup),
  'system:basic-user': bound('system:basic-user', authenticatedGroup),
  'system:discovery': bound('system:discovery', authenticatedGroup),
}
