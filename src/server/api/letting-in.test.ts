import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { core, rbac } from './test-objects.ts'
import { openHall, type Rule } from './test-accounts.ts'

const home = 'riptides-system'
const message = ({ body }: { body: string }) => (JSON.parse(body) as { message: string }).message

describe('a daemon is let in for all namespaces', () => {
  const auth = 'auth.riptides.io/v1alpha1'
  const inTeam = (plural: string) => `/apis/${auth}/namespaces/team/${plural}`
  const token = (name: string) => ({
    apiVersion: auth,
    kind: 'JoinToken',
    metadata: { name },
    spec: { token: `0123456789abcdef-${name}`, daemonGroups: ['production'] },
  })
  const verifier = { apiVersion: auth, kind: 'Verifier', metadata: { name: 'v' }, spec: { joinToken: {} } }
  const letsIn: Rule = { verbs: ['*'], apiGroups: ['auth.riptides.io'], resources: ['*'] }

  test('and so not by who may do it in one of them', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('lead', [])
    await hall.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } })
    const metadata = { name: 'lead', namespace: 'team' }
    await hall.client.create({ apiVersion: rbac, kind: 'Role', metadata, rules: [letsIn] })
    await hall.client.create({
      apiVersion: rbac,
      kind: 'RoleBinding',
      metadata,
      subjects: [{ kind: 'ServiceAccount', name: 'lead', namespace: home }],
      roleRef: { kind: 'Role', name: 'lead' },
    })
    await hall.until(() => ask('GET', inTeam('jointokens')), 200)
    const refused = await ask('POST', inTeam('jointokens'), token('a'))
    assert.equal(refused.status, 403)
    assert.match(message(refused), /cannot create resource "jointokens".*in the namespace "riptides-system"/)
    assert.equal((await ask('POST', inTeam('verifiers'), verifier)).status, 403)
    // Nor by changing one that somebody else made.
    assert.equal((await hall.ask('POST', inTeam('jointokens'), { body: token('b') })).status, 201)
    const spec = { daemonGroups: ['everything'] }
    const changed = await hall.ask('PATCH', `${inTeam('jointokens')}/b`, {
      headers: { 'impersonate-user': `system:serviceaccount:${home}:lead` },
      body: { spec },
      contentType: 'application/merge-patch+json',
    })
    assert.equal(changed.status, 403)
    assert.equal((await ask('DELETE', `${inTeam('jointokens')}/b`)).status, 200)
  })

  test('but by who may do it where all Daemons are', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('installer', [letsIn])
    const path = `/apis/${auth}/namespaces/${home}/jointokens`
    assert.equal((await ask('POST', path, token('a'))).status, 201)
  })

  test('whose objects are in one place', async () => {
    await using hall = await openHall()
    const daemon = {
      apiVersion: core,
      kind: 'Daemon',
      metadata: { name: 'web-1' },
      spec: { workloadID: 'riptides/daemon/web-1', claimerType: 'JoinToken' },
    }
    const path = (namespace: string) => `/apis/${core}/namespaces/${namespace}/daemons`
    const elsewhere = await hall.ask('POST', path('team'), { body: daemon })
    assert.equal(elsewhere.status, 422)
    assert.match(message(elsewhere), /daemons belong in riptides-system/)
    assert.equal((await hall.ask('POST', path(home), { body: daemon })).status, 201)
  })
})
