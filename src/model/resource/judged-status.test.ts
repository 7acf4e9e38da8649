import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextStatus, withFirstStatus, type DesiredStatus } from './judged-status.ts'
import { kinds, type Resource, type ResourceOf } from './registry.ts'
import type { CommonStatus } from './status.ts'

const binding = { metadata: { generation: 3 } } as ResourceOf<'CredentialBinding'>

/** Conditions beside the own ones, as `TYPE=STATUS`. */
function standard(state: DesiredStatus<'CredentialBinding'>['state'], own: DesiredStatus['conditions'] = []) {
  const desired = { state, message: 'why', conditions: own }
  return nextStatus<'CredentialBinding'>(binding, desired, 0).conditions?.map(
    ({ type, status }) => `${type}=${status}`,
  )
}

test('whoever knows no kind of ours sees by Ready and Stalled how an object is', () => {
  assert.deepEqual(standard('OK'), ['Ready=True'])
  assert.deepEqual(standard('PENDING'), ['Ready=False'])
  assert.deepEqual(standard('FAILED'), ['Ready=False', 'Stalled=True'])
})

test('Ready gives the reason of what decides, and that of the state where nothing else does', () => {
  const reasonOf = (message: string, state: 'OK' | 'PENDING' = 'PENDING') => {
    const conditions = [
      { type: 'Delivered', status: 'Unknown', reason: 'NoDaemon', message: 'none is there' },
    ] as const
    const { conditions: all = [] } = nextStatus<'CredentialBinding'>(
      binding,
      { state, message, conditions },
      0,
    )
    return all.find(({ type }) => type === 'Ready')?.reason
  }
  assert.equal(reasonOf('none is there'), 'NoDaemon')
  assert.equal(reasonOf('none is there; and more'), 'NoDaemon')
  assert.equal(reasonOf('something else'), 'Pending')
  assert.equal(reasonOf('all is well', 'OK'), 'Ready')
})

test('a kind that says itself what Ready is has the last word', () => {
  const own = { type: 'Ready', status: 'False', reason: 'Disconnected', message: 'gone' } as const
  assert.deepEqual(standard('OK', [own]), ['Ready=False'])
})

/** What kstatus of kubernetes-sigs/cli-utils makes of an object (pkg/kstatus/status/{generic,status}.go). */
function kstatusOf({ metadata, status = {} }: { metadata: { generation: number }; status?: CommonStatus }) {
  const { observedGeneration = metadata.generation, conditions = [] } = status
  if (observedGeneration !== metadata.generation) return 'InProgress'
  const has = (type: string, wanted: string) =>
    conditions.some((condition) => condition.type === type && condition.status === wanted)
  if (has('Reconciling', 'True')) return 'InProgress'
  if (has('Stalled', 'True')) return 'Failed'
  return has('Ready', 'False') || has('Ready', 'Unknown') ? 'InProgress' : 'Current'
}

test('no tool takes an object for ready that nobody has looked at, nor one that has changed since', () => {
  const withStates = kinds.filter(({ columns }) => columns.some(({ name }) => name === 'STATE'))
  assert.ok(withStates.length >= 10)
  for (const { kind, apiVersion } of withStates) {
    const bare = { apiVersion, kind, metadata: { generation: 1 } } as Resource
    const fresh = withFirstStatus(bare, 0) as ResourceOf<'CredentialBinding'>
    assert.equal(fresh.status?.state, 'PENDING')
    assert.equal(kstatusOf(fresh), 'InProgress', kind)
    // kubectl wait: the condition, unless it is of an earlier generation.
    const [ready] = fresh.status.conditions!
    assert.deepEqual([ready?.type, ready?.status, ready?.observedGeneration], ['Ready', 'False', 0])
    const judged = (state: 'OK' | 'PENDING' | 'FAILED') => ({
      ...fresh,
      status: nextStatus<'CredentialBinding'>(fresh, { state, message: '', conditions: [] }, 0),
    })
    assert.equal(kstatusOf(judged('OK')), 'Current')
    assert.equal(kstatusOf(judged('PENDING')), 'InProgress')
    assert.equal(kstatusOf(judged('FAILED')), 'Failed')
    assert.equal(kstatusOf({ ...judged('OK'), metadata: { generation: 2 } }), 'InProgress')
  }
})
