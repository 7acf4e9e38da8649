import type { Case } from '../exchange.ts'
import { core, service, servicesIn, table, types } from './objects.ts'

const apply = (name: string, manager: string, body: unknown, query = '', more: Partial<Case> = {}): Case => ({
  name,
  method: 'PATCH',
  path: `${servicesIn('applies')}/a?fieldManager=${manager}${query}`,
  type: types.apply,
  body,
  ...more,
})
const config = (spec: object, metadata: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'a', ...metadata },
  spec,
})
const applied = servicesIn('applies')
const applyStatus = (name: string, manager: string, status: object, of = 'a') =>
  apply(name, manager, { apiVersion: core, kind: 'Service', metadata: { name: of }, status }, '', {
    path: `${applied}/${of}/status?fieldManager=${manager}`,
  })
const condition = (type: string, status: string) => ({
  type,
  status,
  reason: 'R',
  message: '',
  lastTransitionTime: '2024-01-01T00:00:00Z',
})

export const applies = table('applies', [
  apply('a dry run that would create', 'one', config({ labels: { a: '1' } }), '&dryRun=All'),
  apply('create', 'one', config({ labels: { a: '1', b: '1' } }, { labels: { x: '1' } }), '', { as: 'first' }),
  apply('the same again', 'one', config({ labels: { a: '1', b: '1' } }, { labels: { x: '1' } })),
  apply('beside', 'two', config({ labels: { c: '2' } })),
  apply('a conflict', 'two', config({ labels: { a: '2' } })),
  apply('several conflicts', 'two', config({ labels: { a: '2', b: '2' } }, { labels: { x: '2' } })),
  apply('shared', 'two', config({ labels: { a: '1', c: '2' } })),
  apply('conflicts with two', 'three', config({ labels: { a: '3', c: '3' } })),
  apply('forced', 'two', config({ labels: { a: '2', c: '2' } }), '&force=true'),
  apply('dropped', 'two', config({ labels: { a: '2' } })),
  apply('dropped what others own', 'one', config({ labels: { b: '1' } })),
  apply('no labels any more', 'one', config({ labels: {} })),
  {
    name: 'update over it',
    method: 'PATCH',
    path: `${applied}/a?fieldManager=editor`,
    type: types.merge,
    body: { spec: { labels: { a: '9', d: '9' }, addresses: [{ address: 'x.example.org' }] } },
  },
  apply('a conflict with an update', 'two', config({ labels: { a: '2' } })),
  apply(
    'a conflict in a list',
    'two',
    config({ labels: { a: '9' }, addresses: [{ address: 'y.example.org' }] }),
  ),
  apply(
    'agreeing with an update',
    'two',
    config({ labels: { a: '9' }, addresses: [{ address: 'x.example.org' }] }),
  ),
  apply('a dry run', 'two', config({ labels: { a: '9' }, external: true }), '&dryRun=All'),
  apply('no manager', '', config({ labels: { a: '9' } })),
  {
    name: 'no manager at all',
    method: 'PATCH',
    path: `${applied}/a`,
    type: types.apply,
    body: config({ labels: {} }),
  },
  apply('a long manager', 'm'.repeat(129), config({ labels: {} })),
  apply('force that is none', 'two', config({ labels: { a: '9' } }), '&force=perhaps'),
  apply(
    'a version that is past',
    'two',
    config({ labels: { a: '9' } }, { resourceVersion: '<first.metadata.resourceVersion>' }),
  ),
  apply(
    'a version of what is not there',
    'two',
    config({ labels: { a: '9' } }, { name: 'new', resourceVersion: '5' }),
    '',
    { path: `${applied}/new?fieldManager=two` },
  ),
  apply(
    'a uid of what is not there',
    'two',
    config({ labels: { a: '9' } }, { name: 'newer', uid: '6d9c6d5e-6f0b-4a52-8d6f-0d0b0c0a0b0c' }),
    '',
    { path: `${applied}/newer?fieldManager=two` },
  ),
  apply(
    'another uid',
    'two',
    config({ labels: { a: '9' } }, { uid: '6d9c6d5e-6f0b-4a52-8d6f-0d0b0c0a0b0c' }),
  ),
  apply('managedFields', 'two', config({ labels: { a: '9' } }, { managedFields: [] })),
  apply(
    'managedFields of something',
    'two',
    config({ labels: { a: '9' } }, { managedFields: [{ manager: 'x' }] }),
  ),
  apply('another name', 'two', config({ labels: { a: '9' } }, { name: 'b' })),
  apply('no name', 'two', { apiVersion: core, kind: 'Service', metadata: {}, spec: { labels: { a: '9' } } }),
  apply('another namespace', 'two', config({ labels: { a: '9' } }, { namespace: 'default' })),
  apply('no kind', 'two', { apiVersion: core, metadata: { name: 'a' } }),
  apply('another kind', 'two', { ...config({ labels: {} }), kind: 'Daemon' }),
  apply('another version', 'two', { ...config({ labels: {} }), apiVersion: 'core.riptides.io/v2' }),
  apply('a wrong type', 'two', config({ labels: 'x' })),
  apply('an unknown field', 'two', config({ labels: { a: '9' }, none: 1 })),
  apply(
    'an unknown field, strictly',
    'two',
    config({ labels: { a: '9' }, none: 1 }),
    '&fieldValidation=Strict',
  ),
  apply('null', 'two', config({ labels: { a: '9', z: null } }), '&dryRun=All'),
  apply('a generateName', 'two', {
    apiVersion: core,
    kind: 'Service',
    metadata: { generateName: 'g-' },
    spec: { labels: {} },
  }),
  apply(
    'YAML',
    'yaml',
    `apiVersion: ${core}\nkind: Service\nmetadata:\n  name: a\nspec:\n  labels:\n    v: "1"\n`,
  ),
  apply(
    'a key twice',
    'yaml',
    `apiVersion: ${core}\nkind: Service\nmetadata:\n  name: a\nspec:\n  labels:\n    v: "1"\n    v: "2"\n`,
    '&dryRun=All',
  ),
  apply('malformed', 'yaml', 'a: ['),
  apply('a list', 'yaml', '[]'),
  apply('nothing', 'yaml', ''),
  apply(
    'a key twice in JSON',
    'yaml',
    `{"apiVersion":"${core}","kind":"Service","metadata":{"name":"a"},"spec":{"labels":{"y":"1","y":"1"}}}`,
    '&fieldValidation=Strict&dryRun=All',
  ),
  apply('finalizers', 'one', config({ labels: {} }, { finalizers: ['example.org/one'] })),
  apply('more finalizers', 'two', config({ labels: { a: '9' } }, { finalizers: ['example.org/two'] })),
  apply('finalizers gone', 'one', config({ labels: {} })),
  apply(
    'owners',
    'one',
    config({ labels: {} }, { ownerReferences: [{ apiVersion: 'v1', kind: 'Secret', name: 'x', uid: 'u1' }] }),
  ),
  apply(
    'more owners',
    'two',
    config(
      { labels: { a: '9' } },
      { ownerReferences: [{ apiVersion: 'v1', kind: 'Secret', name: 'y', uid: 'u2' }] },
    ),
  ),
  apply(
    'an item twice',
    'two',
    config(
      { labels: { a: '9' } },
      {
        ownerReferences: [
          { apiVersion: 'v1', kind: 'Secret', name: 'y', uid: 'u2' },
          { apiVersion: 'v1', kind: 'Secret', name: 'y', uid: 'u2' },
        ],
      },
    ),
  ),
  apply('a status', 'one', { ...config({ labels: {} }), status: { state: 'OK' } }),
  applyStatus('to the status', 'controller', { state: 'OK', message: 'm' }),
  applyStatus('a status with conditions', 'controller', {
    state: 'OK',
    conditions: [condition('Ready', 'True')],
  }),
  applyStatus('a condition of another', 'helper', { conditions: [condition('Other', 'True')] }),
  applyStatus('a conflict of status', 'helper', { conditions: [condition('Ready', 'False')] }),
  applyStatus('the status of what is not there', 'controller', { state: 'OK' }, 'none'),
  {
    name: 'update of the status',
    method: 'PATCH',
    path: `${applied}/a/status?fieldManager=editor`,
    type: types.merge,
    body: { status: { message: 'e' } },
  },
  apply(
    'a conflict with the update of the status',
    'controller',
    { apiVersion: core, kind: 'Service', metadata: { name: 'a' }, status: { message: 'm' } },
    '',
    { path: `${applied}/a/status?fieldManager=controller` },
  ),
  {
    name: 'nobody keeps count',
    method: 'PATCH',
    path: `${applied}/a`,
    type: types.merge,
    body: { metadata: { managedFields: [{}] } },
  },
  apply('after nobody kept count', 'late', config({ labels: { a: '9', late: '1' } })),
  apply('a conflict with before', 'late', config({ labels: { a: '0', late: '1' } })),
  {
    name: 'create for kubectl',
    method: 'POST',
    path: `${applied}?fieldManager=kubectl-client-side-apply`,
    body: service({
      name: 'k',
      annotations: {
        'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({
          apiVersion: core,
          kind: 'Service',
          metadata: { name: 'k' },
          spec: { labels: { app: 'x' } },
        }),
      },
    }),
  },
  apply(
    'kubectl takes over',
    'kubectl',
    { apiVersion: core, kind: 'Service', metadata: { name: 'k' }, spec: { labels: { app: 'z' } } },
    '',
    { path: `${applied}/k?fieldManager=kubectl` },
  ),
  apply('what nobody may create in', 'one', config({ labels: {} }, { name: 'm' }), '', {
    path: `${servicesIn('missing')}/m?fieldManager=one`,
  }),
  ...['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'].map(
    (name): Case => ({
      name: `manager ${name}`,
      method: 'PATCH',
      path: `${applied}/k?fieldManager=${name}`,
      type: types.merge,
      body: { metadata: { annotations: { [name]: 'x' } } },
    }),
  ),
  {
    name: 'a Role applied',
    method: 'PATCH',
    path: '/apis/rbac.authorization.k8s.io/v1/namespaces/applies/roles/r?fieldManager=one',
    type: types.apply,
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'r' },
      rules: [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }],
    },
  },
  {
    name: 'a Role of another',
    method: 'PATCH',
    path: '/apis/rbac.authorization.k8s.io/v1/namespaces/applies/roles/r?fieldManager=two',
    type: types.apply,
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'r' },
      rules: [{ verbs: ['list'], apiGroups: [''], resources: ['secrets'] }],
    },
  },
])
