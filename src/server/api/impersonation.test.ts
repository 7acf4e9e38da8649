import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AuditRecord } from '#model/audit'
import { openHall } from './test-accounts.ts'
import { core, rbac, service } from './test-objects.ts'

const home = 'riptides-system'
const services = `/apis/${core}/namespaces/${home}/services`
const account = (name: string) => `system:serviceaccount:${home}:${name}`

const json = ({ body }: { body: string }) => JSON.parse(body)

const writes = (records: readonly AuditRecord[]) =>
  records.flatMap((record) =>
    record.type === 'change' && record.object.includes('Service/') ? [record] : [],
  )

describe('a request that is made as somebody else (kubectl --as)', () => {
  test('may do what he may, and no more', async () => {
    await using hall = await openHall()
    await hall.account('reader', [
      { verbs: ['list'], apiGroups: ['core.riptides.io'], resources: ['services'] },
    ])
    const headers = { 'impersonate-user': account('reader') }
    assert.equal((await hall.ask('GET', services, { headers })).status, 200)
    const refused = await hall.ask('POST', services, { headers, body: service() })
    assert.equal(refused.status, 403)
    assert.match(json(refused).message, /User "system:serviceaccount:riptides-system:reader" cannot create/)
    assert.equal((await hall.ask('POST', services, { body: service() })).status, 201)
  })

  test('is told who he is', async () => {
    await using hall = await openHall()
    const headers = {
      'impersonate-user': 'corp:ada',
      'impersonate-group': 'system:masters',
      'impersonate-uid': '7',
    }
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
    const answer = await hall.ask('POST', path, { headers, body: {} })
    assert.equal(answer.status, 201, answer.body)
    const { status } = json(answer)
    assert.deepEqual(status.userInfo, {
      username: 'corp:ada',
      uid: '7',
      groups: ['system:masters', 'system:authenticated'],
    })
  })

  test('takes the right to be each of what he is to be, and a refusal is in the audit trail', async () => {
    await using hall = await openHall()
    const { authorization } = await hall.account('gitops', [
      {
        verbs: ['impersonate'],
        apiGroups: [''],
        resources: ['serviceaccounts'],
        resourceNames: ['deployer'],
      },
    ])
    const as = (headers: Record<string, string>) => hall.ask('GET', services, { authorization, headers })
    const deployer = { 'impersonate-user': account('deployer') }
    await hall.until(() => as(deployer), 403)
    const cases = [
      [{ 'impersonate-user': 'system:admin' }, 'users'],
      [{ 'impersonate-user': account('other') }, 'serviceaccounts'],
      [{ ...deployer, 'impersonate-group': 'system:masters' }, 'groups'],
      [{ ...deployer, 'impersonate-uid': '1' }, 'uids'],
    ] as const
    for (const [headers, resource] of cases) {
      const refused = await as(headers)
      assert.equal(refused.status, 403)
      assert.match(json(refused).message, new RegExp(`gitops" cannot impersonate resource "${resource}"`))
    }
    // That he may be, but has no rights himself.
    assert.match(json(await as(deployer)).message, /deployer" cannot list/)
    const refusals = (await hall.auditTrail()).filter(
      (record) => record.type === 'change' && record.verb === 'impersonate',
    )
    assert.partialDeepStrictEqual(refusals.at(-1), {
      actor: account('gitops'),
      object: `User/${account('deployer')}`,
      outcome: 'refused',
    })
  })

  test('is in the audit trail as his who made it, and as whom', async () => {
    await using hall = await openHall()
    const headers = { 'impersonate-user': 'corp:ada', 'impersonate-group': 'system:masters' }
    await hall.ask('POST', services, { headers, body: service() })
    await hall.ask('DELETE', `${services}/aws`, { headers: { 'impersonate-user': 'corp:eve' } })
    assert.partialDeepStrictEqual(writes(await hall.auditTrail()), [
      { actor: 'system:admin', provider: 'bootstrap', as: 'corp:ada', verb: 'create', outcome: 'ok' },
      { actor: 'system:admin', provider: 'bootstrap', as: 'corp:eve', verb: 'delete', outcome: 'refused' },
    ])
  })

  test('cannot give rights that he does not have', async () => {
    await using hall = await openHall()
    const binding = {
      apiVersion: rbac,
      kind: 'RoleBinding',
      metadata: { name: 'up' },
      subjects: [{ kind: 'User', name: 'corp:ada' }],
      roleRef: { kind: 'ClusterRole', name: 'cluster-admin' },
    }
    const bindings = `/apis/${rbac}/namespaces/${home}/rolebindings`
    const rules = [
      { verbs: ['create'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['rolebindings'] },
    ]
    await hall.account('binder', rules)
    const headers = { 'impersonate-user': account('binder') }
    const refused = await hall.ask('POST', bindings, { headers, body: binding })
    assert.equal(refused.status, 403)
    assert.match(json(refused).message, /can be bound ahead only by those who may bind it/)
  })

  test('is refused with headers that are not understood: it is never made as oneself instead', async () => {
    await using hall = await openHall()
    for (const headers of [
      { 'impersonate-group': 'system:masters' },
      { 'impersonate-user': 'corp:ada', 'impersonate-extra-scopes': 'view' },
      { 'Impersonate-User': '' },
    ] as Record<string, string>[]) {
      const answer = await hall.ask('GET', services, { headers })
      assert.equal(answer.status, 400, JSON.stringify(headers))
    }
  })

  test('ends as a watch with the right to be him', async () => {
    await using hall = await openHall()
    const { authorization } = await hall.account('gitops', [
      { verbs: ['impersonate'], apiGroups: [''], resources: ['serviceaccounts'] },
    ])
    await hall.account('reader', [
      { verbs: ['list', 'watch'], apiGroups: ['core.riptides.io'], resources: ['services'] },
    ])
    const headers = { 'impersonate-user': account('reader') }
    const path = `${services}?watch=true`
    await hall.until(() => hall.ask('GET', services, { authorization, headers }), 200)
    const watching = hall.ask('GET', path, { authorization, headers })
    await hall.client.delete('RoleBinding', 'gitops')
    const { status, body } = await watching
    // Either it ended, or it was never opened: the right may have gone first.
    assert.ok(status === 403 || body === '')
    await hall.until(() => hall.ask('GET', services, { authorization, headers }), 403)
  })
})
