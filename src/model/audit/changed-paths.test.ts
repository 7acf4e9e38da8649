import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changedPaths } from './index.ts'

test('paths of what differs, without values and without what the server keeps', () => {
  const before = {
    metadata: { name: 'a', resourceVersion: '1', generation: 1, labels: { app: 'x', 'a/b': '1' } },
    spec: { addresses: [{ address: 'one', port: 1 }], tags: ['a'], deep: { same: { a: [1] } }, gone: true },
  }
  const after = {
    metadata: { name: 'a', resourceVersion: '2', generation: 2, labels: { app: 'x', 'a/b': '2' } },
    spec: {
      addresses: [{ address: 'one', port: 2 }],
      tags: ['a', 'b'],
      deep: { same: { a: [1] } },
      come: null,
    },
  }
  assert.deepEqual(changedPaths(before, after), [
    'metadata.labels[a/b]',
    'spec.addresses[0].port',
    'spec.tags',
    'spec.gone',
    'spec.come',
  ])
  assert.deepEqual(changedPaths(before, structuredClone(before)), [])
})

test('of a map that came or went, each field', () => {
  const bare = { metadata: { name: 'a' }, spec: { empty: {} } }
  const more = { metadata: { name: 'a', labels: { a: '1', b: '2' } }, spec: { deep: { one: [1] } } }
  const paths = ['metadata.labels.a', 'metadata.labels.b', 'spec.empty', 'spec.deep.one']
  assert.deepEqual(changedPaths(bare, more).toSorted(), paths.toSorted())
  assert.deepEqual(changedPaths(more, bare).toSorted(), paths.toSorted())
})

test('no more than 32', () => {
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`k${index}`, index]))
  const paths = changedPaths({}, many)
  assert.equal(paths.length, 33)
  assert.equal(paths.at(-1), '...')
})
