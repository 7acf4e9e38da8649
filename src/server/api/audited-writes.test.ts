import assert from 'node:assert/strict'
import { test } from 'node:test'
import { service } from './test-objects.ts'
import { openTestServer, type TestServer } from './test-server.ts'
import { applyAs, config, patch, path, secretPath, services } from './test-writes.ts'

/** What the trail says of the writes so far, without who and when. */
async function told(server: TestServer) {
  const records = await server.auditTrail()
  return records.flatMap((record) => {
    if (record.type !== 'change') return []
    const { by, verb, object, changed, outcome, message } = record
    const detail = [...(changed ?? []), ...(message === undefined ? [] : [message])].join(' ')
    return [`${by} ${verb} ${object} ${outcome}${detail && `: ${detail}`}`]
  })
}

test('every way of writing says what it did, by which program', async () => {
  await using server = await openTestServer()
  const headers = { 'user-agent': 'kubectl/v1.33.1 (linux/amd64)' }
  await server.ask('POST', services, { headers, body: service() })
  await server.ask('PUT', path, { headers, body: service({ app: 'y' }) })
  await patch(server, 'merge', `${path}?fieldManager=kubectl-annotate`, {
    metadata: { annotations: { a: 'b' } },
  })
  await patch(server, 'merge', `${path}?fieldManager=kubectl-annotate`, {
    metadata: { annotations: { a: 'b' } },
  })
  await applyAs(server, 'gitops', config({ labels: { tier: 'x' } }))
  await applyAs(server, 'gitops', { ...config({ labels: {} }) })
  await applyAs(server, 'other', config({ labels: { app: 'z' } }))
  await applyAs(server, 'other', config({ labels: { app: 'y' } }))
  await patch(server, 'merge', `${path}/status?fieldManager=judge`, { status: { state: 'FAILED' } })
  await server.ask('DELETE', path, { headers })
  await applyAs(server, 'gitops', config({ labels: {} }))
  assert.deepEqual(await told(server), [
    'kubectl create Service/aws ok',
    'kubectl update Service/aws ok: spec.labels.app',
    'kubectl-annotate patch Service/aws ok: metadata.annotations.a',
    'kubectl-annotate patch Service/aws ok: nothing changed',
    'gitops apply Service/aws ok: spec.labels.tier',
    'gitops apply Service/aws ok: spec.labels.tier',
    'other apply Service/aws refused: Apply failed with 1 conflict: conflict with "kubectl" ' +
      'using core.riptides.io/v1alpha1: .spec.labels.app',
    'other apply Service/aws ok: only who owns which field changed',
    'judge patch-status Service/aws ok: status.state',
    'kubectl delete Service/aws ok',
    'gitops create Service/aws ok',
  ])
})

test('a value that is never given back is changed by name of its field', async () => {
  await using server = await openTestServer()
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { key: 'one' } }
  await applyAs(server, 'x', config({ labels: {} }))
  await patch(server, 'apply', `${secretPath}?fieldManager=x`, secret)
  await patch(server, 'merge', `${secretPath}?fieldManager=x`, { stringData: { key: 'two' } })
  assert.deepEqual((await told(server)).slice(1), ['x create Secret/api ok', 'x patch Secret/api ok: data'])
})

test('a dry run that goes well is no write, however it is asked for', async () => {
  await using server = await openTestServer()
  await server.client.create(service())
  const before = await told(server)
  const body = { dryRun: ['All'] }
  for (const answer of [
    await server.ask('DELETE', path, { body }),
    await server.ask('DELETE', services, { body }),
    await server.ask('DELETE', `${path}?dryRun=All`),
    await applyAs(server, 'x', config({ labels: { b: 'c' } }), '&dryRun=All'),
  ]) {
    assert.equal(answer.status, 200, answer.body)
  }
  assert.deepEqual(await told(server), before)
})

test('what ends before anything could be written is in the trail too, and a question is not', async () => {
  await using server = await openTestServer()
  await server.ask('POST', services, { body: '{"kind":' })
  await server.ask('PUT', `${path}?dryRun=Some`, { body: service() })
  await server.ask('DELETE', path, { body: { propagationPolicy: 'Perhaps' } })
  await server.ask('POST', '/api/v1/namespaces/riptides-system/serviceaccounts/none/token', { body: {} })
  await server.ask('GET', `${services}?limit=-1`)
  const records = await server.auditTrail()
  assert.deepEqual(
    records.flatMap((record) =>
      record.type === 'change' ? [[record.verb, record.object, record.namespace, record.outcome]] : [],
    ),
    [
      ['create', 'Service', 'riptides-system', 'refused'],
      ['update', 'Service/aws', 'riptides-system', 'refused'],
      ['delete', 'Service/aws', 'riptides-system', 'refused'],
      ['create', 'ServiceAccount/none/token', 'riptides-system', 'refused'],
    ],
  )
})

test('a dry run with a value that is never given back is in the trail, right or wrong', async () => {
  await using server = await openTestServer()
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api' }, stringData: { pin: '1234' } }
  await server.ask('POST', secretPath.replace(/\/api$/, ''), { body: secret })
  for (const pin of ['1233', '1234']) {
    const body = { stringData: { pin } }
    await server.ask('PATCH', `${secretPath}?dryRun=All`, {
      contentType: 'application/merge-patch+json',
      body,
    })
  }
  const dry = 'unknown patch Secret/api ok: dry run: nothing was written'
  assert.deepEqual((await told(server)).slice(1), [dry, dry])
})
