import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { builtInRoles } from '#model/access'
import type { AuditRecord, ChangeRecord } from '#model/audit'
import { core, rbac, service } from './test-objects.ts'
import { openHall, type Rule } from './test-accounts.ts'

const home = 'riptides-system'
const services = `/apis/${core}/namespaces/${home}/services`
const rbacPath = (plural: string, namespace: string | undefined = home) =>
  `/apis/${rbac}/${namespace === undefined ? '' : `namespaces/${namespace}/`}${plural}`

const onServices = (...verbs: string[]): Rule => ({
  verbs,
  apiGroups: ['core.riptides.io'],
  resources: ['services'],
})

const message = ({ body }: { body: string }) => (JSON.parse(body) as { message: string }).message
const changes = (records: readonly AuditRecord[]) =>
  records.filter((record): record is ChangeRecord => record.type === 'change')

describe('a request is served to whom a role allows it', () => {
  test('and refused to others with the words of Kubernetes', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('reader', [onServices('get', 'list')])
    assert.equal((await ask('GET', services)).status, 200)
    const refused = await ask('POST', services, service())
    assert.equal(refused.status, 403)
    assert.deepEqual(JSON.parse(refused.body), {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Failure',
      message:
        'services.core.riptides.io is forbidden: User "system:serviceaccount:riptides-system:reader" cannot create ' +
        'resource "services" in API group "core.riptides.io" in the namespace "riptides-system"',
      reason: 'Forbidden',
      details: { kind: 'services', group: 'core.riptides.io' },
      code: 403,
    })
  })

  test('on every route: resources, watches, statuses, paths, and what does not exist', async () => {
    await using hall = await openHall()
    await hall.client.create(service())
    const { ask } = await hall.account('reader', [onServices('get')])
    const refused: [method: string, path: string][] = [
      ['GET', services],
      ['GET', `${services}?watch=true`],
      ['GET', `${services}?watch=1`],
      ['POST', services],
      ['PUT', `${services}/aws`],
      ['PATCH', `${services}/aws`],
      ['DELETE', `${services}/aws`],
      ['DELETE', services],
      ['GET', `${services}/aws/status`],
      ['PUT', `${services}/aws/status`],
      ['GET', `/apis/${core}/services`],
      ['GET', `/apis/${core}/namespaces/other/services/aws`],
      ['GET', `/api/v1/namespaces/${home}/secrets`],
      ['GET', `/api/v1/namespaces/${home}/Secrets`],
      ['GET', `/api/v1/namespaces/${home}/%73ecrets`],
      ['GET', `/api/v1/namespaces/${home}/services%2Faws`],
      ['POST', `/api/v1/namespaces/${home}/serviceaccounts/reader/token`],
      ['GET', '/audit'],
      ['GET', '/audit?follow=true'],
      ['GET', '/keys'],
      ['POST', '/keys/rotate'],
      ['GET', '/no-such-path'],
      ['GET', '/apis/no.such/v1/things'],
      ['POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews'],
    ]
    for (const [method, path] of refused) {
      const { status } = await ask(method, path, method === 'GET' || method === 'DELETE' ? undefined : {})
      assert.equal(status, 403, `${method} ${path}`)
    }
    assert.equal((await ask('GET', `${services}/aws`)).status, 200)
    assert.equal((await hall.client.get('Service', 'aws')).metadata.name, 'aws')
  })

  test('in any spelling of a kind that is understood', async () => {
    await using hall = await openHall()
    const rule = { verbs: ['list'], apiGroups: ['core.riptides.io'], resources: ['workloadidentitys'] }
    const { ask } = await hall.account('reader', [rule])
    for (const plural of ['workloadidentitys', 'workloadidentities']) {
      assert.equal((await ask('GET', `/apis/${core}/namespaces/${home}/${plural}`)).status, 200)
    }
  })

  test('what was refused to whom is in the audit trail, and which fields an update changed', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('writer', [onServices('create', 'update')])
    await ask('POST', services, service())
    await ask('PUT', `${services}/aws`, service({ app: 'y', team: 'z' }))
    await ask('DELETE', `${services}/aws`)
    const who = {
      actor: 'system:serviceaccount:riptides-system:writer',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:riptides-system'],
      provider: 'service-account',
      namespace: home,
      object: 'Service/aws',
    }
    const by = 'unknown'
    const records = changes(await hall.auditTrail()).filter(({ actor }) => actor === who.actor)
    const [created, updated, deleted] = records.map((record) => {
      const { type: _, id: __, at: ___, ...rest } = record
      return rest
    })
    assert.deepEqual(created, { ...who, by, verb: 'create', outcome: 'ok' })
    assert.deepEqual(updated, {
      ...who,
      by,
      verb: 'update',
      changed: ['spec.labels.app', 'spec.labels.team'],
      outcome: 'ok',
    })
    assert.deepEqual([deleted?.verb, deleted?.outcome], ['delete', 'refused'])
    assert.match(deleted!.message!, /cannot delete resource "services"/)
  })
})

describe('nobody gives himself, or others, more than he has', () => {
  const writesRoles: Rule = {
    verbs: ['*'],
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['roles', 'rolebindings'],
  }
  const binding = (name: string, kind: string, role: string) => ({
    apiVersion: rbac,
    kind: 'RoleBinding',
    metadata: { name },
    subjects: [{ kind: 'ServiceAccount', name: 'climber' }],
    roleRef: { kind, name: role },
  })

  test('to gather the rights of roles to come takes all rights', async () => {
    await using hall = await openHall()
    const rules = [{ ...writesRoles, resources: ['clusterroles'], verbs: ['create', 'patch'] }]
    const { ask, authorization } = await hall.account('gatherer', rules, { everywhere: true })
    const gathers = { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { team: 'x' } }] } }
    const role = (name: string, rest: object) => ({
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name },
      ...rest,
    })
    const path = `/apis/${rbac}/clusterroles`
    const created = await ask('POST', path, role('all', gathers))
    assert.equal(created.status, 403)
    assert.match(message(created), /must have cluster-admin privileges to use an aggregationRule$/)
    assert.equal((await hall.ask('POST', path, { body: role('all', gathers) })).status, 201)
    const patched = await hall.ask('PATCH', `${path}/all`, {
      authorization,
      body: { aggregationRule: null },
      contentType: 'application/merge-patch+json',
    })
    assert.equal(patched.status, 403)
  })

  test('neither by binding a greater role, nor by writing one, nor by editing one that is bound', async () => {
    await using hall = await openHall()
    const everything = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }
    await hall.client.create({
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: 'everything' },
      rules: [everything],
    })
    await hall.client.create({
      apiVersion: rbac,
      kind: 'Role',
      metadata: { name: 'greater' },
      rules: [everything],
    })
    // A star over verbs holds bind and escalate too; take the verbs one by one.
    const verbs = ['create', 'update', 'patch', 'delete', 'get']
    const { ask, authorization } = await hall.account('climber', [
      { ...writesRoles, verbs },
      onServices('get'),
    ])
    const forbidden: [method: string, path: string, body: unknown][] = [
      ['POST', rbacPath('rolebindings'), binding('up', 'ClusterRole', 'everything')],
      ['POST', rbacPath('rolebindings'), binding('up', 'Role', 'to-come')],
      [
        'POST',
        rbacPath('roles'),
        { apiVersion: rbac, kind: 'Role', metadata: { name: 'to-come' }, rules: [everything] },
      ],
      [
        'PUT',
        rbacPath('roles/climber'),
        { apiVersion: rbac, kind: 'Role', metadata: { name: 'climber' }, rules: [everything] },
      ],
    ]
    for (const [method, path, body] of forbidden) {
      const answer = await ask(method, path, body)
      assert.equal(answer.status, 403, `${method} ${path}`)
      assert.match(
        message(answer),
        /is attempting to grant RBAC permissions not currently held|not found: it can be/,
      )
    }
    const patched = await hall.ask('PATCH', rbacPath('roles/climber'), {
      authorization,
      body: { rules: [everything] },
      contentType: 'application/merge-patch+json',
    })
    assert.equal(patched.status, 403)
    // A finalizer can go from what he could not write himself, and be put there.
    for (const finalizers of [['example.org/a'], null]) {
      const kept = await hall.ask('PATCH', rbacPath('roles/greater'), {
        authorization,
        body: { metadata: { finalizers } },
        contentType: 'application/merge-patch+json',
      })
      assert.equal(kept.status, 200)
    }
    const within = {
      apiVersion: rbac,
      kind: 'Role',
      metadata: { name: 'lesser' },
      rules: [onServices('get')],
    }
    assert.equal((await ask('POST', rbacPath('roles'), within)).status, 201)
    await hall.until(() => ask('POST', rbacPath('rolebindings'), binding('same', 'Role', 'lesser')), 201)
    // The role of a binding stays; with another one it would be another binding.
    const moved = await ask(
      'PUT',
      rbacPath('rolebindings/same'),
      binding('same', 'ClusterRole', 'everything'),
    )
    assert.match(message(moved), /cannot change roleRef/)
    // Cluster-wide rights are out of reach altogether.
    assert.equal((await ask('POST', rbacPath('clusterrolebindings', undefined), {})).status, 403)
    assert.equal((await ask('GET', `/api/v1/namespaces/${home}/secrets`)).status, 403)
  })

  test('in a few kilobytes that come to a billion permissions: refused at once', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('climber', [{ ...writesRoles, verbs: ['create'] }])
    const many = (word: string) => Array.from({ length: 22 }, (_, index) => `${word}${index}`)
    const rule = { verbs: many('v'), apiGroups: many('g'), resources: many('r'), resourceNames: many('n') }
    const role = { apiVersion: rbac, kind: 'Role', metadata: { name: 'vast' }, rules: [rule] }
    const refused = await ask('POST', rbacPath('roles'), role)
    assert.equal(refused.status, 403)
    assert.match(message(refused), /more than 10000 single RBAC permissions at once: make several roles/)
  })

  test('refusals are in the audit trail as refused', async () => {
    await using hall = await openHall()
    const { ask } = await hall.account('climber', [{ ...writesRoles, verbs: ['create'] }])
    const rules = [onServices('get')]
    await ask('POST', rbacPath('roles'), { apiVersion: rbac, kind: 'Role', metadata: { name: 'x' }, rules })
    const last = changes(await hall.auditTrail()).findLast(({ object }) => object === 'Role/x')
    assert.equal(last?.outcome, 'refused')
  })
})

test('who may list does not watch, however a client spells yes and no', async () => {
  await using hall = await openHall()
  await hall.client.create(service())
  const { ask } = await hall.account('lister', [onServices('list')])
  for (const yes of ['watch=true', 'watch=True', 'watch=1', 'watch=yes', 'watch=', 'watch']) {
    assert.equal((await ask('GET', `${services}?${yes}`)).status, 403, yes)
  }
  for (const no of ['watch=false', 'watch=False', 'watch=0', 'limit=5']) {
    const { status, body } = await ask('GET', `${services}?${no}`)
    assert.equal(status, 200, no)
    assert.equal((JSON.parse(body) as { kind: string }).kind, 'ServiceList', no)
  }
})

describe('a right that is taken away', () => {
  test('ends a watch that lives on it', async () => {
    await using hall = await openHall()
    const { authorization } = await hall.account('watcher', [onServices('watch', 'list')])
    const ended = hall.ask('GET', `${services}?watch=true`, { authorization })
    await hall.client.delete('RoleBinding', 'watcher')
    const { status, body } = await ended
    // Either it ended, or it was never opened: the right may have gone first.
    assert.ok(status === 403 || body === '')
    await hall.until(() => hall.ask('GET', services, { authorization }), 403)
  })

  test('as does the end of the account', async () => {
    await using hall = await openHall()
    const { authorization } = await hall.account('watcher', [onServices('watch', 'list')])
    const ended = hall.ask('GET', `${services}?watch=true`, { authorization })
    await hall.client.delete('ServiceAccount', 'watcher')
    assert.ok([200, 401].includes((await ended).status))
    assert.equal((await hall.ask('GET', services, { authorization })).status, 401)
  })
})

describe('questions about rights', () => {
  test('what may I, in detail, and who am I', async () => {
    await using hall = await openHall()
    const { ask, review } = await hall.account('asker', [onServices('get')])
    const allowed = async (...what: Parameters<typeof review>) =>
      (JSON.parse((await review(...what)).body) as { status: { allowed: boolean } }).status.allowed
    assert.equal(await allowed('get', 'services', 'core.riptides.io'), true)
    assert.equal(await allowed('delete', 'services', 'core.riptides.io'), false)
    const rules = await ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
      spec: { namespace: home },
    })
    const { resourceRules } = (JSON.parse(rules.body) as { status: { resourceRules: Rule[] } }).status
    assert.ok(resourceRules.some(({ resources }) => resources?.includes('services')))
    const me = await hall.ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body: {} })
    assert.deepEqual((JSON.parse(me.body) as { status: object }).status, {
      userInfo: { username: 'system:admin', groups: ['system:masters', 'system:authenticated'] },
    })
  })

  test('are asked by kubectl of anyone, which looks for custom kinds first', async () => {
    await using hall = await openHall()
    const rules = structuredClone(builtInRoles['system:discovery']!.rules) as Rule[]
    const { ask } = await hall.account('asker', rules, { everywhere: true })
    const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    const { status, body } = await ask('GET', definitions)
    assert.deepEqual([status, JSON.parse(body).items], [200, []])
    assert.equal((await hall.ask('GET', `${definitions}?watch=1`)).status, 404)
    assert.equal((await ask('GET', `${definitions}/x`)).status, 403)
  })

  test('are read in YAML too, as every other object', async () => {
    await using hall = await openHall()
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
    const body = 'spec:\n  resourceAttributes: {verb: get, resource: secrets}\n'
    const ask = (contentType: string) => hall.ask('POST', path, { contentType, body })
    const answer = await ask('application/yaml')
    assert.equal(answer.status, 201)
    assert.deepEqual((JSON.parse(answer.body) as { status: object }).status, { allowed: true })
    assert.equal((await ask('application/apply-patch+yaml')).status, 415)
  })

  test('are read as clients write them: null is as absent, and what is wrong is named', async () => {
    await using hall = await openHall()
    const at = { authentication: 'authentication.k8s.io/v1', authorization: 'authorization.k8s.io/v1' }
    const ask = async (group: keyof typeof at, plural: string, body: object, query = '') => {
      const answer = await hall.ask('POST', `/apis/${at[group]}/${plural}${query}`, { body })
      const { message = '', spec } = JSON.parse(answer.body) as { message?: string; spec?: object }
      return { status: answer.status, message, spec }
    }
    const may = { resourceAttributes: null, nonResourceAttributes: { path: '/audit', verb: 'get' } }
    const who = { user: 'ada', uid: null, groups: null, extra: { scopes: ['x'] } }
    assert.equal(
      (await ask('authorization', 'subjectaccessreviews', { spec: { ...may, ...who } })).status,
      201,
    )
    assert.equal(
      (await ask('authentication', 'tokenreviews', { spec: { token: 'x', audiences: null } })).status,
      201,
    )

    const mine = 'selfsubjectaccessreviews'
    const misspelt = { spec: { ...may, usr: 'ada' } }
    const passed = await ask('authorization', mine, misspelt)
    assert.deepEqual(passed.spec, { nonResourceAttributes: may.nonResourceAttributes })
    const strict = await ask('authorization', mine, misspelt, '?fieldValidation=Strict')
    assert.deepEqual(
      [strict.status, strict.message],
      [422, 'SelfSubjectAccessReview is invalid: spec.usr: unknown field'],
    )
    const other = await ask('authorization', mine, { kind: 'SubjectAccessReview', spec: may })
    assert.deepEqual(
      [other.status, other.message],
      [
        422,
        'SelfSubjectAccessReview is invalid: kind: Unsupported value: "SubjectAccessReview": ' +
          'supported values: "SelfSubjectAccessReview"',
      ],
    )
    const long = await ask('authentication', 'tokenreviews', { spec: { token: 'secret-'.repeat(10_000) } })
    assert.equal(long.status, 422)
    assert.doesNotMatch(long.message, /secret-/)
  })

  test('whose a token is, for this API or an audience that is asked about, and nothing of one that is not accepted', async () => {
    await using hall = await openHall()
    const { authorization } = await hall.account('robot', [onServices('get')])
    const token = authorization.slice('Bearer '.length)
    const path = '/apis/authentication.k8s.io/v1/tokenreviews'
    const review = async (spec: object) => {
      const answer = await hall.ask('POST', path, { body: { spec } })
      assert.equal(answer.status, 201, answer.body)
      assert.ok(!answer.body.includes(token))
      // Python's client takes no answer without it.
      assert.deepEqual((JSON.parse(answer.body) as { spec: object }).spec, { token: '' })
      return (
        JSON.parse(answer.body) as { status: { authenticated: boolean; audiences?: string[]; user?: object } }
      ).status
    }
    const { metadata } = await hall.client.get('ServiceAccount', 'robot')
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${home}`, 'system:authenticated']
    assert.deepEqual(await review({ token }), {
      authenticated: true,
      user: { username: `system:serviceaccount:${home}:robot`, uid: metadata.uid, groups },
      audiences: ['tideway'],
    })
    assert.equal((await review({ token, audiences: ['vault'] })).authenticated, false)
    const minted = await hall.ask('POST', `/api/v1/namespaces/${home}/serviceaccounts/robot/token`, {
      body: { spec: { audiences: ['vault'] } },
    })
    const forVault = (JSON.parse(minted.body) as { status: { token: string } }).status.token
    assert.deepEqual((await review({ token: forVault, audiences: ['vault', 'other'] })).audiences, ['vault'])
    assert.equal((await review({ token: forVault })).authenticated, false)
    assert.equal((await review({ token: 'no token' })).authenticated, false)
    assert.equal((await hall.ask('POST', path, { body: { spec: {} } })).status, 422)
    assert.equal((await hall.ask('POST', path, { authorization, body: { spec: { token } } })).status, 403)
  })

  test('what may somebody else, and only the one who may ask', async () => {
    await using hall = await openHall()
    const ask = (spec: object) =>
      hall.ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { body: { spec } })
    const nonResourceAttributes = { verb: 'get', path: '/audit' }
    for (const [groups, allowed] of [
      [['system:masters'], true],
      [['others'], false],
    ] as const) {
      const { body } = await ask({ user: 'x', groups, nonResourceAttributes })
      assert.equal((JSON.parse(body) as { status: { allowed: boolean } }).status.allowed, allowed)
    }
    assert.equal((await ask({ user: 'x' })).status, 422)
    assert.equal((await ask({ nonResourceAttributes })).status, 422)
    assert.equal((await ask({ user: 'x', nonResourceAttributes, resourceAttributes: {} })).status, 422)
    await hall.account('auditors', [{ verbs: ['get'], nonResourceURLs: ['/audit'] }], { everywhere: true })
    const local = `/apis/authorization.k8s.io/v1/namespaces/${home}/localsubjectaccessreviews`
    for (const namespace of ['other', undefined]) {
      const body = {
        spec: { user: 'x', resourceAttributes: { verb: 'get', resource: 'secrets', namespace } },
      }
      assert.equal((await hall.ask('POST', local, { body })).status, 422)
    }
    // With a path in it, it is about a resource all the same.
    const sly = { verb: 'get', path: '/audit', namespace: home }
    const { body } = await hall.ask('POST', local, {
      body: { spec: { user: `system:serviceaccount:${home}:auditors`, resourceAttributes: sly } },
    })
    assert.equal((JSON.parse(body) as { status: { allowed: boolean } }).status.allowed, false)
  })
})
