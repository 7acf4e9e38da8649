import type { Case } from '../exchange.ts'
import { in1, service, servicesIn, spec, table, types } from './objects.ts'

const all = servicesIn('updates')
const one = `${all}/a`
const current = '<now.metadata.resourceVersion>'
const get = (as = 'now'): Case => ({ name: 'as it is', path: one, as })
const put = (name: string, body: unknown, more: Partial<Case> = {}): Case => ({
  name,
  method: 'PUT',
  path: one,
  body,
  ...more,
})
const patch =
  (type: keyof typeof types) =>
  (name: string, body: unknown, more: Partial<Case> = {}): Case => ({
    name,
    method: 'PATCH',
    path: one,
    type: types[type],
    body,
    ...more,
  })
const json = patch('json')
const merge = patch('merge')
const other = { labels: { app: 'y' } }

export const updates = table('updates', [
  {
    name: 'make it',
    method: 'POST',
    path: all,
    body: service({ name: 'a', labels: { l: '1' } }),
    as: 'first',
  },
  put(
    'a change',
    service({ name: 'a', resourceVersion: '<first.metadata.resourceVersion>' }, { spec: other }),
  ),
  put(
    'a change of a version that is past',
    service({ name: 'a', resourceVersion: '<first.metadata.resourceVersion>' }),
  ),
  get(),
  put('a change without version', service('a', { spec: other }), { path: `${one}?dryRun=All` }),
  put('a version of the future', service({ name: 'a', resourceVersion: '99999999' })),
  put('a malformed version', service({ name: 'a', resourceVersion: 'x' })),
  put(
    'a uid that is another',
    service({ name: 'a', resourceVersion: current, uid: '6d9c6d5e-6f0b-4a52-8d6f-0d0b0c0a0b0c' }),
  ),
  put(
    'the uid that it has',
    service({ name: 'a', resourceVersion: current, uid: '<now.metadata.uid>' }, { spec: other }),
  ),
  get(),
  put('another name', service({ name: 'b', resourceVersion: current })),
  put('no name', service({ resourceVersion: current }), { path: `${one}?dryRun=All` }),
  put('another namespace', service({ name: 'a', namespace: 'default', resourceVersion: current })),
  put('another kind', { ...service({ name: 'a', resourceVersion: current }), kind: 'Daemon' }),
  get(),
  put(
    'another creationTimestamp',
    service(
      { name: 'a', resourceVersion: current, creationTimestamp: '2020-01-01T00:00:00Z' },
      { spec: other },
    ),
  ),
  get(),
  put(
    'another generation',
    service({ name: 'a', resourceVersion: current, generation: 50 }, { spec: other }),
  ),
  get(),
  put(
    'a deletionTimestamp',
    service(
      { name: 'a', resourceVersion: current, deletionTimestamp: '2020-01-01T00:00:00Z' },
      { spec: other },
    ),
    { path: `${one}?dryRun=All` },
  ),
  get(),
  put(
    'a generateName',
    service({ name: 'a', generateName: 'g-', resourceVersion: current }, { spec: other }),
  ),
  get(),
  put('labels alone', service({ name: 'a', labels: { m: '2' }, resourceVersion: current }, { spec: other })),
  get('before'),
  put(
    'nothing',
    service(
      { name: 'a', labels: { m: '2' }, resourceVersion: '<before.metadata.resourceVersion>' },
      { spec: other },
    ),
  ),
  {
    name: 'unchanged: the same version is a list of nothing new',
    path: `${all}?watch=true&timeoutSeconds=1&resourceVersion=<before.metadata.resourceVersion>`,
    endsAfterMs: 1500,
  },
  get(),
  put(
    'a status beside',
    service({ name: 'a', resourceVersion: current }, { spec: other, status: { state: 'OK' } }),
  ),
  get(),
  put('what is not there', service({ name: 'none' }), { path: `${all}/none` }),
  put('what is not there, with a version', service({ name: 'none', resourceVersion: current }), {
    path: `${all}/none`,
  }),
  put('a dry run', service({ name: 'a', resourceVersion: current }, { spec }), { path: `${one}?dryRun=All` }),
  get(),
  put('a body that is empty', ''),
  put('a value of a wrong type', service({ name: 'a', resourceVersion: current }, { spec: { labels: 5 } })),
  put('to a collection', service('a'), { path: all }),
  put('unknown fields', service({ name: 'a', resourceVersion: current }, { spec: { ...other, none: 1 } }), {
    path: `${one}?fieldValidation=Strict`,
  }),
  put(
    'managedFields emptied',
    service({ name: 'a', resourceVersion: current, managedFields: [{}] }, { spec: other }),
  ),
  get(),
  put(
    'managedFields of an empty list',
    service({ name: 'a', resourceVersion: current, managedFields: [] }, { spec }),
  ),
  get(),
  put(
    'malformed managedFields',
    service(
      { name: 'a', resourceVersion: current, managedFields: [{ manager: 'm', operation: 'Guess' }] },
      { spec: other },
    ),
  ),
  get(),
  put(
    'another manager',
    service({ name: 'a', resourceVersion: current }, { spec: { labels: { app: 'z' } } }),
    { path: `${one}?fieldManager=other` },
  ),
  get(),

  put(
    'the status',
    service(
      { name: 'a', labels: { changed: 'yes' }, resourceVersion: current },
      { spec, status: { state: 'OK', message: 'well' } },
    ),
    { path: `${one}/status` },
  ),
  get(),
  put(
    'the status of a version that is past',
    service(
      { name: 'a', resourceVersion: '<first.metadata.resourceVersion>' },
      { spec, status: { state: 'OK' } },
    ),
    { path: `${one}/status` },
  ),
  put(
    'the same status',
    service({ name: 'a', resourceVersion: current }, { spec, status: { state: 'OK', message: 'well' } }),
    { path: `${one}/status` },
  ),
  put(
    'a status with an annotation',
    service(
      { name: 'a', annotations: { x: 'y' }, resourceVersion: current },
      { spec, status: { state: 'OK', message: 'better' } },
    ),
    { path: `${one}/status` },
  ),
  merge(
    'a status by merge',
    { status: { message: 'best' }, metadata: { labels: { s: 't' } } },
    { path: `${one}/status` },
  ),
  merge('a status of a wrong type', { status: { state: 5 } }, { path: `${one}/status` }),
  merge('a status that is none of these', { status: { state: 'GOOD' } }, { path: `${one}/status` }),
  json('a status by JSON patch', [{ op: 'replace', path: '/status/message', value: 'good' }], {
    path: `${one}/status`,
  }),
  merge('a status beside', { status: { message: 'no' }, spec: { labels: { app: 'w' } } }),
  put('status of what is not there', service('none', { status: {} }), { path: `${all}/none/status` }),
  { name: 'delete a status', method: 'DELETE', path: `${one}/status` },
  { name: 'post a status', method: 'POST', path: `${one}/status`, body: service('a') },
  { name: 'an unknown subresource', method: 'PUT', path: `${one}/scale`, body: service('a') },
  { name: 'get an unknown subresource', path: `${one}/scale` },

  json('a JSON patch', [
    { op: 'add', path: '/metadata/annotations', value: { a: 'b' } },
    { op: 'replace', path: '/spec/labels/app', value: 'v' },
  ]),
  json('that changes nothing', [{ op: 'replace', path: '/spec/labels/app', value: 'v' }]),
  json('an empty JSON patch', []),
  json('a test that holds', [{ op: 'test', path: '/spec/labels/app', value: 'v' }]),
  json('a test that fails', [{ op: 'test', path: '/spec/labels/app', value: 'no' }]),
  json('a path that is not there', [{ op: 'remove', path: '/spec/none' }]),
  json('replace what is not there', [{ op: 'replace', path: '/spec/none', value: 1 }]),
  json('add below what is not there', [{ op: 'add', path: '/spec/none/x', value: 1 }]),
  json('an operation that is none', [{ op: 'guess', path: '/spec' }]),
  json('an operation without path', [{ op: 'remove' }]),
  json('an add without value', [{ op: 'add', path: '/spec/labels/q' }]),
  json('a JSON patch that is an object', { op: 'add' }),
  json('a malformed JSON patch', '[{'),
  json('remove the whole', [{ op: 'remove', path: '' }]),
  json(
    'too many operations',
    Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'Service' })),
  ),
  json('an index beyond the end', [
    { op: 'add', path: '/spec/addresses', value: [] },
    { op: 'add', path: '/spec/addresses/5', value: { address: 'x.example.org' } },
  ]),
  json('append', [
    { op: 'add', path: '/spec/addresses', value: [] },
    { op: 'add', path: '/spec/addresses/-', value: { address: 'x.example.org' } },
  ]),
  json('copy and move', [
    { op: 'copy', from: '/spec/labels/app', path: '/spec/labels/copied' },
    { op: 'move', from: '/spec/labels/copied', path: '/spec/labels/moved' },
  ]),
  json('the name', [{ op: 'replace', path: '/metadata/name', value: 'b' }]),
  json('the namespace', [{ op: 'replace', path: '/metadata/namespace', value: 'default' }]),
  json('the kind', [{ op: 'replace', path: '/kind', value: 'Daemon' }]),
  json('the uid', [{ op: 'replace', path: '/metadata/uid', value: 'x' }]),
  json('the version', [{ op: 'replace', path: '/metadata/resourceVersion', value: '1' }]),
  json('an unknown field', [{ op: 'add', path: '/spec/none', value: 1 }], {
    path: `${one}?fieldValidation=Strict`,
  }),
  json('an unknown field of the operation', [{ op: 'add', path: '/spec/labels/e', value: 'f', none: 1 }], {
    path: `${one}?fieldValidation=Strict&dryRun=All`,
  }),

  merge('a merge patch', { metadata: { labels: { n: '3', m: null } }, spec: { external: true } }),
  merge('null removes', { spec: { external: null, addresses: null } }),
  merge('an empty merge patch', {}),
  merge('a required field removed', { spec: { labels: null } }),
  merge('the name by merge', { metadata: { name: 'b' } }),
  merge('the namespace by merge', { metadata: { namespace: 'default' } }),
  merge('the uid by merge', { metadata: { uid: 'x' } }),
  merge('a version that is past', {
    metadata: { resourceVersion: '<first.metadata.resourceVersion>' },
    spec: { external: true },
  }),
  merge('the kind by merge', { kind: 'Daemon' }),
  merge('a list', []),
  merge('a text', '"x"'),
  merge('malformed', '{'),
  merge('nothing', ''),
  merge('a wrong type', { spec: { labels: 'x' } }),
  merge('an unknown field', { spec: { none: 1 } }, { path: `${one}?fieldValidation=Strict` }),
  merge('an unknown field and a warning', { spec: { none: 1 } }, { path: `${one}?fieldValidation=Warn` }),
  merge('a key twice', '{"spec":{"external":true,"external":false}}', {
    path: `${one}?fieldValidation=Strict&dryRun=All`,
  }),
  merge('force', { spec: { external: true } }, { path: `${one}?force=true` }),
  merge('a dry run', { spec: { external: true } }, { path: `${one}?dryRun=All` }),
  merge('what is not there', {}, { path: `${all}/none` }),
  merge('a collection', {}, { path: all }),
  merge('metadata null', { metadata: null }),
  merge('labels null', { metadata: { labels: null, annotations: null } }),
  merge('managedFields null', { metadata: { managedFields: null } }),
  merge('managedFields of an empty list', { metadata: { managedFields: [] } }),
  merge('managedFields of one empty entry', { metadata: { managedFields: [{}] } }),
  patch('strategic')('a strategic patch', { spec: { external: true } }),
  { name: 'a patch of JSON', method: 'PATCH', path: one, body: {} },
  { name: 'a patch of no type', method: 'PATCH', path: one, body: {}, type: '' },
  {
    name: 'a patch with a charset',
    method: 'PATCH',
    path: one,
    body: { spec: { external: false } },
    type: `${types.merge}; charset=utf-8`,
  },

  {
    name: 'a Secret',
    method: 'POST',
    path: in1('updates', 'secrets'),
    body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', finalizers: ['example.org/a'] } },
  },
  patch('strategic')(
    'a strategic patch of a Secret',
    { metadata: { labels: { a: 'b' }, '$deleteFromPrimitiveList/finalizers': ['example.org/a'] } },
    { path: `${in1('updates', 'secrets')}/s` },
  ),
  patch('strategic')(
    'a strategic patch with a bad directive',
    { metadata: { $patch: 'guess' } },
    { path: `${in1('updates', 'secrets')}/s` },
  ),
  merge('another type of Secret', { type: 'example.org/other' }, { path: `${in1('updates', 'secrets')}/s` }),
  merge('an immutable Secret', { immutable: true }, { path: `${in1('updates', 'secrets')}/s` }),
  merge(
    'a change of an immutable Secret',
    { stringData: { a: 'b' } },
    { path: `${in1('updates', 'secrets')}/s` },
  ),
])
