import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitionOf, type Kind, type Resource } from '#model/resource'
import { cellOf, columnsOf } from './object-table.ts'

function table(kind: Kind, content: object): Record<string, string> {
  const metadata = { name: 'one', creationTimestamp: '2026-01-01T00:00:00Z' }
  const object = { kind, metadata, ...content } as unknown as Resource
  const now = Date.parse('2026-01-01T00:05:00Z')
  return Object.fromEntries(
    columnsOf(definitionOf(kind)).map((column) => [column.name, cellOf(object, column, now)]),
  )
}

test('the name comes first, times are ages, and what an object does not say is <none>', () => {
  const shown = table('JoinToken', { spec: { expireAt: '2026-01-01T00:06:00Z' }, status: {} })
  assert.deepEqual(Object.entries(shown), [
    ['NAME', 'one'],
    ['WORKLOAD ID', '<none>'],
    ['STATE', '<none>'],
    ['EXPIRES', 'in 60s'],
    ['AGE', '5m'],
    ['MESSAGE', '<none>'],
  ])
})

test('a source shows its type, and a verifier its method; one without any does not keep others from being shown', () => {
  for (const type of ['aws', 'gcp']) {
    assert.equal(table('CredentialSource', { spec: { [type]: {} } })['TYPE'], type)
  }
  assert.equal(table('CredentialSource', { spec: {} })['TYPE'], '<none>')
  assert.equal(table('Verifier', { spec: { JWT: {} } })['METHOD'], 'JWT')
  assert.equal(table('Verifier', { spec: {} })['METHOD'], '<none>')
})

test('events have the columns of Kubernetes in its order, whichever of the forms of their times they have', () => {
  const involvedObject = { kind: 'CredentialBinding', name: 'b' }
  const about = { involvedObject, type: 'Normal', reason: 'Ready', message: 'all is well' }
  const lastTimestamp = '2026-01-01T00:04:00Z'
  const firstTimestamp = '2026-01-01T00:03:00Z'
  const source = { component: 'tideway' }
  assert.deepEqual(
    Object.entries(table('Event', { ...about, source, firstTimestamp, lastTimestamp, count: 3 })),
    [
      ['LAST SEEN', '60s'],
      ['TYPE', 'Normal'],
      ['REASON', 'Ready'],
      ['OBJECT', 'credentialbinding/b'],
      ['SUBOBJECT', '<none>'],
      ['SOURCE', 'tideway'],
      ['MESSAGE', 'all is well'],
      ['FIRST SEEN', '2m'],
      ['COUNT', '3'],
      ['NAME', 'one'],
    ],
  )
  const once = table('Event', { ...about, eventTime: '2026-01-01T00:02:00.000000Z' })
  assert.deepEqual([once['LAST SEEN'], once['FIRST SEEN']], ['3m', '3m'])
})

test('a daemon is shown with the name of its node', () => {
  const metadata = [{ name: 'node:hostname', value: 'web-1' }]
  assert.equal(table('Daemon', { spec: {}, status: { metadata } })['HOSTNAME'], 'web-1')
})
