import assert from 'node:assert/strict'
import { test } from 'node:test'
import { auditLine } from './audit.ts'

const change = {
  type: 'change',
  id: '1',
  at: 'T',
  verb: 'update',
  object: 'Service/aws',
  outcome: 'ok',
} as const

test('a line says who did what to what, and which fields it changed', () => {
  assert.equal(
    auditLine({ ...change, actor: 'system:admin', provider: 'bootstrap', groups: ['system:masters'] }),
    'T system:admin update Service/aws ok',
  )
  assert.equal(
    auditLine({
      ...change,
      actor: 'corp:ada',
      provider: 'oidc:corp',
      groups: ['corp:dev'],
      namespace: 'team',
      changed: ['spec.labels.app', 'spec.external'],
    }),
    'T corp:ada (oidc:corp, corp:dev) update Service/aws in team (spec.labels.app, spec.external) ok',
  )
  assert.equal(
    auditLine({
      ...change,
      by: 'kubectl-edit',
      actor: 'hub:eve',
      provider: 'github:hub',
      groups: ['hub:acme'],
      as: 'corp:ada',
    }),
    'T hub:eve (github:hub, hub:acme) as corp:ada by kubectl-edit update Service/aws ok',
  )
  assert.equal(
    auditLine({ ...change, actor: 'x', namespace: 'riptides-system', outcome: 'refused', message: 'why' }),
    'T x update Service/aws refused: why',
  )
})

test('no name and no path makes a line of its own', () => {
  const object = 'Service/x\nT system:admin delete CredentialBinding/prod ok\u001b[8m'
  assert.equal(
    auditLine({ ...change, actor: 'corp:eve', object, outcome: 'refused' }),
    'T corp:eve update Service/x\\u{a}T system:admin delete CredentialBinding/prod ok\\u{1b}[8m refused',
  )
})
