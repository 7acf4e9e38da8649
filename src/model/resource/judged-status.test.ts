import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextStatus, type DesiredStatus } from './judged-status.ts'
import type { ResourceOf } from './registry.ts'

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

test('a kind that says itself what Ready is has the last word', () => {
  const own = { type: 'Ready', status: 'False', reason: 'Disconnected', message: 'gone' } as const
  assert.deepEqual(standard('OK', [own]), ['Ready=False'])
})
