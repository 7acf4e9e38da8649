import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  bindingEscalation,
  builtInBindings,
  builtInRoles,
  isAllowed,
  roleEscalation,
  rulesFor,
  serviceAccountGroups,
  serviceAccountName,
  type AccessPolicy,
  type Binding,
  type PolicyRule,
  type Subject,
  type User,
} from './index.ts'

const ask = (verb: string, resource: string, namespace = '', name = '') => ({
  verb,
  group: '',
  version: 'v1',
  resource,
  subresource: '',
  namespace,
  name,
})

const bind = (kind: string, name: string, ...subjects: Subject[]): Binding => ({
  roleRef: { kind, name },
  subjects,
})

const user = (name: string, ...groups: string[]): User => ({ name, groups })

function policyOf({
  roles = {},
  clusterRoles = {},
  bindings = {},
  clusterBindings = [],
}: {
  roles?: Record<string, PolicyRule[]>
  clusterRoles?: Record<string, readonly PolicyRule[]>
  bindings?: Record<string, Binding[]>
  clusterBindings?: Binding[]
}): AccessPolicy {
  return {
    role: (namespace, name) => roles[`${namespace}/${name}`],
    clusterRole: (name) => clusterRoles[name],
    roleBindings: (namespace) => bindings[namespace] ?? [],
    clusterRoleBindings: () => clusterBindings,
  }
}

const readPods: PolicyRule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }

describe('who may do what', () => {
  const policy = policyOf({
    roles: { 'ns1/reader': [readPods] },
    clusterRoles: {
      reader: [readPods, { verbs: ['get'], nonResourceURLs: ['/audit'] }],
      all: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
    },
    bindings: {
      ns1: [
        bind('Role', 'reader', { kind: 'User', name: 'ada' }),
        bind('ClusterRole', 'reader', { kind: 'Group', name: 'team' }),
        bind('ClusterRole', 'reader', { kind: 'ServiceAccount', name: 'robot' }),
        bind('Role', 'missing', { kind: 'User', name: 'eve' }),
        bind('Other', 'all', { kind: 'User', name: 'eve' }),
        bind('ClusterRole', 'all', { kind: 'Robot', name: 'eve' }),
      ],
      ns2: [bind('Role', 'reader', { kind: 'User', name: 'ada' })],
    },
    clusterBindings: [
      bind('ClusterRole', 'reader', { kind: 'User', name: 'carl' }),
      bind('ClusterRole', 'all', { kind: 'ServiceAccount', namespace: 'ns1', name: 'boss' }),
      bind('ClusterRole', 'all', { kind: 'ServiceAccount', name: 'nowhere' }),
      bind('Role', 'reader', { kind: 'User', name: 'eve' }),
    ],
  })
  const robot = user(serviceAccountName('ns1', 'robot'), ...serviceAccountGroups('ns1'))
  const cases: [title: string, user: User, ask: Parameters<typeof isAllowed>[2], allowed: boolean][] = [
    ['a role holds in its namespace', user('ada'), ask('get', 'pods', 'ns1'), true],
    ['for its verbs only', user('ada'), ask('delete', 'pods', 'ns1'), false],
    ['not for all namespaces', user('ada'), ask('list', 'pods'), false],
    [
      'nor in a namespace where a role of that name does not exist',
      user('ada'),
      ask('get', 'pods', 'ns2'),
      false,
    ],
    ['a cluster role holds where it is bound', user('x', 'team'), ask('get', 'pods', 'ns1'), true],
    ['and not elsewhere', user('x', 'team'), ask('get', 'pods', 'ns2'), false],
    ['bound in a namespace it opens no path', user('x', 'team'), { verb: 'get', path: '/audit' }, false],
    ['bound in the cluster it does', user('carl'), { verb: 'get', path: '/audit' }, true],
    ['and holds in every namespace', user('carl'), ask('get', 'pods', 'ns9'), true],
    ['a service account is of the namespace of the binding', robot, ask('get', 'pods', 'ns1'), true],
    ['a user does not become one by a group', user('robot'), ask('get', 'pods', 'ns1'), false],
    [
      'a service account bound in the cluster',
      user(serviceAccountName('ns1', 'boss')),
      ask('delete', 'secrets', 'ns2'),
      true,
    ],
    [
      'a service account without namespace is nobody in a cluster binding',
      user(serviceAccountName('', 'nowhere')),
      ask('get', 'pods', 'ns1'),
      false,
    ],
    ['missing and unknown roles give nothing', user('eve'), ask('get', 'pods', 'ns1'), false],
    ['nothing is the rule', user('stranger'), ask('get', 'pods', 'ns1'), false],
    ['masters may everything', user('root', 'system:masters'), ask('delete', 'secrets', 'ns1'), true],
    ['paths included', user('root', 'system:masters'), { verb: 'post', path: '/keys/rotate' }, true],
  ]
  for (const [title, who, what, allowed] of cases) {
    test(title, () => assert.equal(isAllowed(policy, who, what), allowed))
  }
})

describe('nobody gives what he does not have', () => {
  const roleWriter: PolicyRule = {
    verbs: ['create', 'update'],
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
  }
  const secrets: PolicyRule = { verbs: ['get'], apiGroups: [''], resources: ['secrets'] }
  const special = (verb: string, resource: string, name: string): PolicyRule => ({
    verbs: [verb],
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: [resource],
    resourceNames: [name],
  })
  const policy = policyOf({
    roles: { 'ns1/writer': [roleWriter, readPods], 'ns1/secrets': [secrets] },
    clusterRoles: {
      secrets: [secrets],
      pods: [readPods],
      lifted: [roleWriter, special('bind', 'clusterroles', 'secrets'), special('escalate', 'roles', 'mine')],
    },
    bindings: {
      ns1: [
        bind('Role', 'writer', { kind: 'User', name: 'ada' }),
        bind('ClusterRole', 'lifted', { kind: 'User', name: 'lifted' }),
      ],
    },
  })
  const ada = user('ada', 'team')
  const ns1 = (name: string, kind = 'ClusterRole') => ({ namespace: 'ns1', roleRef: { kind, name } })

  test('a role within the own rights', () => {
    assert.equal(roleEscalation(policy, ada, { namespace: 'ns1', name: 'x', rules: [readPods] }), undefined)
  })
  test('a role beyond them is refused with what is missing', () => {
    assert.equal(
      roleEscalation(policy, ada, { namespace: 'ns1', name: 'x', rules: [readPods, secrets] }),
      'user "ada" (groups=["team"]) is attempting to grant RBAC permissions not currently held:\n' +
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    )
  })
  test('rights in a namespace are none in the cluster or in another namespace', () => {
    for (const namespace of ['', 'ns2']) {
      assert.match(
        roleEscalation(policy, ada, { namespace, name: 'x', rules: [readPods] })!,
        /not currently held/,
      )
    }
    const binding = { namespace: '', roleRef: { kind: 'ClusterRole', name: 'pods' } }
    assert.match(bindingEscalation(policy, ada, binding)!, /not currently held/)
  })
  test('binding a role: within the own rights only, and never one that is not there yet', () => {
    assert.equal(bindingEscalation(policy, ada, ns1('pods')), undefined)
    assert.match(bindingEscalation(policy, ada, ns1('secrets'))!, /"secrets"\], Verbs:\["get"\]/)
    assert.match(bindingEscalation(policy, ada, ns1('secrets', 'Role'))!, /not currently held/)
    assert.match(bindingEscalation(policy, ada, ns1('later'))!, /^role "later" not found/)
  })
  test('the verbs bind and escalate lift this, for the roles that they name', () => {
    const lifted = user('lifted')
    assert.equal(bindingEscalation(policy, lifted, ns1('secrets')), undefined)
    assert.match(bindingEscalation(policy, lifted, ns1('pods'))!, /not currently held/)
    assert.equal(
      roleEscalation(policy, lifted, { namespace: 'ns1', name: 'mine', rules: [secrets] }),
      undefined,
    )
    assert.match(
      roleEscalation(policy, lifted, { namespace: 'ns1', name: 'other', rules: [secrets] })!,
      /not currently held/,
    )
  })
  test('a long list is cut', () => {
    const rules = [{ verbs: ['a', 'b', 'c', 'd'], apiGroups: [''], resources: ['x', 'y', 'z'] }]
    assert.match(roleEscalation(policy, ada, { namespace: 'ns1', name: 'x', rules })!, /\nand 2 more$/)
  })
})

describe('the roles that every server has', () => {
  const policy = policyOf({
    clusterRoles: Object.fromEntries(Object.entries(builtInRoles).map(([name, { rules }]) => [name, rules])),
    clusterBindings: [
      ...Object.values(builtInBindings),
      ...Object.keys(builtInRoles).map((name) => bind('ClusterRole', name, { kind: 'User', name })),
    ],
  })
  const core = (verb: string, resource: string) => ({
    ...ask(verb, resource, 'ns'),
    group: 'core.riptides.io',
  })
  const rbac = (verb: string, resource: string) => ({
    ...ask(verb, resource, 'ns'),
    group: 'rbac.authorization.k8s.io',
  })
  const may = (name: string, request: Parameters<typeof isAllowed>[2]) =>
    isAllowed(policy, user(name, 'system:authenticated'), request)

  test('viewers read, without Secrets, rights and the audit trail, and write nothing', () => {
    assert.equal(may('viewer', core('list', 'services')), true)
    assert.equal(may('viewer', core('create', 'services')), false)
    assert.equal(may('viewer', ask('get', 'secrets', 'ns')), false)
    assert.equal(may('viewer', ask('list', 'secrets', 'ns')), false)
    assert.equal(may('viewer', rbac('list', 'roles')), false)
    assert.equal(may('viewer', { verb: 'get', path: '/audit' }), false)
  })
  test('editors declare, and let nobody in', () => {
    assert.equal(may('editor', core('create', 'services')), true)
    assert.equal(may('editor', ask('update', 'secrets', 'ns')), true)
    assert.equal(may('editor', core('delete', 'daemons')), false)
    assert.equal(may('editor', { ...ask('create', 'jointokens', 'ns'), group: 'auth.riptides.io' }), false)
    assert.equal(may('editor', { ...ask('create', 'serviceaccounts', 'ns'), subresource: 'token' }), false)
    assert.equal(may('editor', rbac('create', 'rolebindings')), false)
  })
  test('admins do all but say who users are and what holds everywhere', () => {
    assert.equal(may('admin', rbac('create', 'rolebindings')), true)
    assert.equal(may('admin', rbac('create', 'clusterrolebindings')), false)
    assert.equal(may('admin', core('create', 'identityproviders')), false)
    assert.equal(may('admin', { verb: 'post', path: '/keys/rotate' }), true)
    assert.equal(may('cluster-admin', core('create', 'identityproviders')), true)
  })
  test('daemon makes join tokens and nothing else', () => {
    assert.equal(may('daemon', { ...ask('create', 'jointokens', 'ns'), group: 'auth.riptides.io' }), true)
    assert.equal(may('daemon', core('list', 'credentialbindings')), false)
    assert.equal(may('daemon', ask('get', 'secrets', 'ns')), false)
  })
  test('everyone who is known may ask what there is and what he may', () => {
    assert.equal(may('anyone', { verb: 'get', path: '/apis' }), true)
    const review = { ...ask('create', 'selfsubjectaccessreviews'), group: 'authorization.k8s.io' }
    assert.equal(may('anyone', review), true)
    assert.equal(isAllowed(policy, user('anyone'), review), false)
    assert.equal(rulesFor(policy, user('nobody'), '').length, 0)
  })
})
