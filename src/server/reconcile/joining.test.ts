import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Kind, ResourceOf } from '#model/resource'
import { openChanges } from './changes.ts'
import { identity, makeObject, trustDomain } from './fixture.ts'
import { judgeJoinToken } from './join-token.ts'
import { openSurvey } from './survey.ts'

const token = (name: string, spec: object = {}, place = {}) =>
  makeObject('JoinToken', name, { token: 'a-token-of-enough-letters', ...spec }, place)

function openBed(...tokens: readonly ReturnType<typeof token>[]) {
  const changes = openChanges()
  const survey = openSurvey({ trustDomain, valid: () => undefined, streamOf: () => undefined })
  const states = new Map<string, string>()
  return (type: 'ADDED' | 'DELETED', object: ResourceOf<Kind>) => {
    survey.absorb([{ type, object }])
    const { objects } = survey.findings(changes.take(), 0)
    for (const one of tokens) {
      const { namespace, name } = one.metadata
      if (!objects.has(`JoinToken ${namespace}/${name}`)) continue
      const { state, message } = judgeJoinToken(one, 0, survey.obstacleTo(one))
      states.set(name, state === 'AVAILABLE' ? state : `${state} ${message}`)
    }
    return tokens.map(({ metadata }) => states.get(metadata.name))
  }
}

test('a token is AVAILABLE only where the Verifiers of its namespace allow it, and says so at once', () => {
  const [here, there] = [token('here'), token('there', {}, { namespace: 'other' })]
  const after = openBed(here, there)
  after('ADDED', here)
  assert.deepEqual(after('ADDED', there), ['AVAILABLE', 'AVAILABLE'])
  const cloud = makeObject('Verifier', 'cloud', { AWSIID: {} })
  const [refused, untouched] = after('ADDED', cloud)
  assert.match(refused!, /^PENDING no daemon can join with it: none of the Verifiers of its namespace allows/)
  assert.equal(untouched, 'AVAILABLE')
  const allowing = makeObject('Verifier', 'tokens', { joinToken: {} })
  assert.equal(after('ADDED', allowing)[0], 'AVAILABLE')
  assert.match(after('DELETED', allowing)[0]!, /^PENDING/)
  assert.equal(after('DELETED', cloud)[0], 'AVAILABLE')
})

test('a token whose workload ID somebody has is not AVAILABLE until that is gone', () => {
  const named = token('named', { workloadID: 'riptides/daemon/one' })
  const after = openBed(named)
  assert.deepEqual(after('ADDED', named), ['AVAILABLE'])
  const daemon = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
  assert.match(after('ADDED', daemon)[0]!, /^PENDING .* belongs to Daemon one; delete that/)
  assert.equal(after('DELETED', daemon)[0], 'AVAILABLE')
  const app = identity('app', 'riptides/daemon/one')
  assert.match(after('ADDED', app)[0]!, /belongs to WorkloadIdentity app/)
})
