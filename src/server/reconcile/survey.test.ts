import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openChanges } from './changes.ts'
import { makeObject, trustDomain } from './fixture.ts'
import { openSurvey } from './survey.ts'

test('a daemon has moved when its object changes and when it comes or goes, and each is told once', () => {
  const changes = openChanges()
  const survey = openSurvey({ trustDomain, valid: () => undefined, streamOf: () => undefined })
  const moved = () => [...survey.findings(changes.take(), 0).moved]
  const object = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
  survey.absorb([{ type: 'ADDED', object }])
  assert.deepEqual(moved(), ['one'])
  assert.deepEqual(moved(), [])
  changes.presence('two', [])
  survey.absorb([{ type: 'DELETED', object }])
  assert.deepEqual(moved(), ['one', 'two'])
  assert.deepEqual(moved(), [])
})
