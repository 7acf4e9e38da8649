import type { Case } from '../exchange.ts'
import { core, in1, rbac, service, servicesIn, table, types } from './objects.ts'

const all = servicesIn('places')
const ask = (name: string, method: string, path: string, more: Partial<Case> = {}): Case => ({
  name,
  method,
  path,
  ...more,
})
const nobody = { 'impersonate-user': 'nobody' }
const review = (
  name: string,
  kind: string,
  spec: object,
  path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`,
): Case => ({
  name,
  method: 'POST',
  path,
  body: { apiVersion: 'authorization.k8s.io/v1', kind, spec },
})
const aggregated = (version: string) => ({
  accept: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
})

export const places = table('places', [
  ask('make one', 'POST', all, { body: service('a') }),
  ask('head of one', 'HEAD', `${all}/a`),
  ask('head of a list', 'HEAD', all),
  ask('head of what is not there', 'HEAD', `${all}/none`),
  ask('options', 'OPTIONS', `${all}/a`),
  ask('trace', 'TRACE', `${all}/a`),
  ask('a method of nobody', 'PROPFIND', `${all}/a`),
  ask('post to one', 'POST', `${all}/a`, { body: service('a') }),
  ask('put to a collection', 'PUT', all, { body: service('a') }),
  ask('patch of a collection', 'PATCH', all, { body: {}, type: types.merge }),
  ask('an unknown kind', 'GET', `/apis/${core}/namespaces/places/nothings`),
  ask('one of an unknown kind', 'GET', `/apis/${core}/namespaces/places/nothings/x`),
  ask('create an unknown kind', 'POST', `/apis/${core}/namespaces/places/nothings`, { body: {} }),
  ask('an unknown kind of v1', 'GET', '/api/v1/nothings'),
  ask('an unknown version', 'GET', '/apis/core.riptides.io/v9/services'),
  ask('an unknown group', 'GET', '/apis/none.example.org/v1/services'),
  ask('an unknown group alone', 'GET', '/apis/none.example.org'),
  ask('an unknown version alone', 'GET', '/apis/core.riptides.io/v9'),
  ask('an unknown version of core', 'GET', '/api/v9'),
  ask('an unknown path', 'GET', '/nothing'),
  ask('the root', 'GET', '/'),
  ask('an unknown subresource', 'GET', `${all}/a/scale`),
  ask('below a subresource', 'GET', `${all}/a/status/x`),
  ask('a kind with a status that it has not', 'GET', `${in1('places', 'secrets')}/none/status`),
  ask('a slash at the end of a collection', 'GET', `${all}/`),
  ask('a slash at the end of one', 'GET', `${all}/a/`),
  ask('two slashes', 'GET', `/apis/${core}//namespaces/places/services/a`),
  ask('two slashes at the start', 'GET', `/${all}`),
  ask('a dot segment', 'GET', `${all}/./a`),
  ask('two dots', 'GET', `${all}/../services/a`),
  ask('an encoded letter', 'GET', `${all}/%61`),
  ask('an encoded slash', 'GET', `${all}/a%2Fstatus`),
  ask('a malformed encoding', 'GET', `${all}/%zz`),
  ask('a name with capitals', 'GET', `${all}/A`),
  ask('a name with a space', 'GET', `${all}/a%20b`),
  ask('capitals in the kind', 'GET', `/apis/${core}/namespaces/places/Services`),
  ask('the singular', 'GET', `/apis/${core}/namespaces/places/service`),
  ask('a namespaced kind without its namespace', 'GET', `/apis/${core}/services/a`),
  ask('a kind of the cluster in a namespace', 'GET', `/apis/${rbac}/namespaces/places/clusterroles`),
  ask('one of the cluster in a namespace', 'GET', `/apis/${rbac}/namespaces/places/clusterroles/admin`),
  ask('a namespace that is not there', 'GET', '/api/v1/namespaces/none'),
  ask('a list in a namespace that is not there', 'GET', servicesIn('none')),
  ask('status of a namespace', 'GET', '/api/v1/namespaces/places/status'),
  ask('an empty namespace', 'GET', `/apis/${core}/namespaces//services`),
  ask('an unknown subresource of a namespace', 'GET', '/api/v1/namespaces/places/nothings'),

  ask('no token', 'GET', all, { headers: { authorization: '' } }),
  ask('a wrong token', 'GET', all, { headers: { authorization: 'Bearer nothing' } }),
  ask('another scheme', 'GET', all, { headers: { authorization: 'Basic YTpi' } }),
  ask('a wrong token for an unknown path', 'GET', '/nothing', {
    headers: { authorization: 'Bearer nothing' },
  }),
  ask('nobody gets', 'GET', `${all}/a`, { headers: nobody }),
  ask('nobody lists', 'GET', all, { headers: nobody }),
  ask('nobody lists all namespaces', 'GET', `/apis/${core}/services`, { headers: nobody }),
  ask('nobody watches', 'GET', `${all}?watch=1`, { headers: nobody }),
  ask('nobody creates', 'POST', all, { headers: nobody, body: service('x') }),
  ask('nobody updates', 'PUT', `${all}/a`, { headers: nobody, body: service('a') }),
  ask('nobody patches a status', 'PATCH', `${all}/a/status`, {
    headers: nobody,
    body: {},
    type: types.merge,
  }),
  ask('nobody deletes', 'DELETE', `${all}/a`, { headers: nobody }),
  ask('nobody deletes all', 'DELETE', all, { headers: nobody }),
  ask('nobody gets what is not there', 'GET', `${all}/none`, { headers: nobody }),
  ask('nobody asks for an unknown kind', 'GET', `/apis/${core}/namespaces/places/nothings`, {
    headers: nobody,
  }),
  ask('nobody asks for an unknown path', 'GET', '/nothing', { headers: nobody }),
  ask('nobody gets a namespace', 'GET', '/api/v1/namespaces/places', { headers: nobody }),
  ask('nobody lists Secrets', 'GET', in1('places', 'secrets'), { headers: nobody }),
  ask('nobody reads metrics', 'GET', '/metrics', { headers: nobody }),
  ask('nobody reads discovery', 'GET', '/apis/core.riptides.io', { headers: nobody }),
  ask('nobody acts as another', 'GET', all, {
    headers: { ...nobody, 'impersonate-group': 'system:masters' },
  }),
  ask('groups of nobody', 'GET', all, { headers: { 'impersonate-group': 'x' } }),
  ask('nobody gives himself a Role', 'POST', `/apis/${rbac}/namespaces/places/roles`, {
    headers: { 'impersonate-user': 'ada' },
    body: { apiVersion: rbac, kind: 'Role', metadata: { name: 'r' }, rules: [] },
  }),
  ask('let ada write roles', 'POST', `/apis/${rbac}/clusterroles`, {
    body: {
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: 'places-roles' },
      rules: [
        { verbs: ['*'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'] },
      ],
    },
  }),
  ask('bind ada', 'POST', `/apis/${rbac}/clusterrolebindings`, {
    body: {
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'places-roles' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'ada' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'places-roles' },
    },
  }),
  ask('the status of a role', 'GET', `/apis/${rbac}/clusterroles/places-roles/status`),

  review('may I get services', 'SelfSubjectAccessReview', {
    resourceAttributes: { namespace: 'places', verb: 'get', group: 'core.riptides.io', resource: 'services' },
  }),
  review('may I read metrics', 'SelfSubjectAccessReview', {
    nonResourceAttributes: { path: '/metrics', verb: 'get' },
  }),
  review('may I, without a question', 'SelfSubjectAccessReview', {}),
  review('may I, with two questions', 'SelfSubjectAccessReview', {
    resourceAttributes: {},
    nonResourceAttributes: {},
  }),
  review('may nobody get a service', 'SubjectAccessReview', {
    user: 'nobody',
    resourceAttributes: {
      namespace: 'places',
      verb: 'get',
      group: 'core.riptides.io',
      resource: 'services',
      name: 'a',
    },
  }),
  review('may ada create roles', 'SubjectAccessReview', {
    user: 'ada',
    resourceAttributes: {
      namespace: 'places',
      verb: 'create',
      group: 'rbac.authorization.k8s.io',
      resource: 'roles',
    },
  }),
  review('may, without a user', 'SubjectAccessReview', {
    resourceAttributes: { verb: 'get', resource: 'services' },
  }),
  review('what I may in places', 'SelfSubjectRulesReview', { namespace: 'places' }),
  review('what I may', 'SelfSubjectRulesReview', {}),
  {
    ...review('rules of ada', 'SelfSubjectRulesReview', { namespace: 'places' }),
    headers: { 'impersonate-user': 'ada' },
  },
  review(
    'may nobody get Secrets of places',
    'LocalSubjectAccessReview',
    { user: 'nobody', resourceAttributes: { namespace: 'places', verb: 'get', resource: 'secrets' } },
    '/apis/authorization.k8s.io/v1/namespaces/places/localsubjectaccessreviews',
  ),
  review(
    'may nobody get Secrets of another namespace',
    'LocalSubjectAccessReview',
    { user: 'nobody', resourceAttributes: { namespace: 'other', verb: 'get', resource: 'secrets' } },
    '/apis/authorization.k8s.io/v1/namespaces/places/localsubjectaccessreviews',
  ),
  ask('who am I', 'POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    headers: { 'impersonate-user': 'ada', 'impersonate-group': 'developers' },
  }),
  ask('whose token', 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'nothing' } },
  }),
  ask('reviews are not listed', 'GET', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'),

  ask('discovery of core', 'GET', '/api'),
  ask('discovery of groups', 'GET', '/apis'),
  ask('discovery of one group', 'GET', '/apis/core.riptides.io'),
  ask('discovery of one version', 'GET', `/apis/${core}`),
  ask('discovery of roles', 'GET', `/apis/${rbac}`),
  ask('discovery of v1', 'GET', '/api/v1'),
  ask('aggregated discovery of groups', 'GET', '/apis', { headers: aggregated('v2') }),
  ask('aggregated discovery of core', 'GET', '/api', { headers: aggregated('v2') }),
  ask('aggregated discovery of old', 'GET', '/apis', { headers: aggregated('v2beta1') }),
  ask('discovery with a slash', 'GET', '/apis/'),
  ask('discovery of a version with a slash', 'GET', `/apis/${core}/`),
  ask('discovery as protobuf', 'GET', '/apis', {
    headers: { accept: 'application/vnd.kubernetes.protobuf' },
  }),
  ask('discovery as a picture', 'GET', '/apis', { headers: { accept: 'image/png' } }),
  ask('post to discovery', 'POST', '/apis', { body: {} }),
  ask('version', 'GET', '/version'),
  ask('version with a slash', 'GET', '/version/'),
  ask('healthz', 'GET', '/healthz'),
  ask('readyz', 'GET', '/readyz'),
  ask('livez', 'GET', '/livez'),
])
