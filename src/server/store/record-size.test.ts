import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openMemoryStore, openResources, type Sealer } from './index.ts'
import { loadRecord } from './resource-record.ts'

const namespace = 'riptides-system'
const tooLarge = { code: 'RESOURCE_TOO_LARGE', message: /^\w.* is too large: \d+ bytes, of 1572864 at most/ }

// As long as what it seals, as real ones nearly are.
const sealer: Sealer = { seal: (_name, bytes) => bytes, unseal: (_name, bytes) => bytes }
const actor = { name: 'ada', groups: [], provider: 'test' } as never

function open() {
  const store = openMemoryStore()
  const resources = openResources(store, { clock: openTestClock(), random: randomBytes, sealer })
  return { store, resources }
}

const secret = (bytes: number) => ({
  apiVersion: 'v1',
  kind: 'Secret' as const,
  metadata: { name: 'api' },
  data: { key: randomBytes(bytes).toString('base64') },
})
const labels = (count: number, tag: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${tag}${index}`, 'x'.repeat(4_000)]))
const service = (count: number) => ({
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service' as const,
  metadata: { name: 'aws' },
  spec: { labels: labels(count, 'a') },
})

test('an object grows to 1.5 MiB and no further, whatever is written', async () => {
  const { resources } = open()
  await resources.create(service(300))
  const merge = { type: 'merge', document: { spec: { labels: labels(300, 'b') } } } as const
  const [one, dryRun] = [{ ...service(600) }, { dryRun: true }]
  for (const write of [
    () => resources.patch('Service', namespace, 'aws', merge),
    () => resources.patch('Service', namespace, 'aws', merge, dryRun),
    () => resources.update<'Service'>(one),
    () => resources.apply<'Service'>(one, { force: true }),
    () => resources.create<'Service'>({ ...one, metadata: { name: 'other' } }),
  ]) {
    await assert.rejects(write, tooLarge)
  }
  assert.equal(Object.keys((await resources.get('Service', namespace, 'aws'))!.spec.labels).length, 300)
})

test('a Secret takes 1 MiB of values, as in Kubernetes', async () => {
  const { resources } = open()
  await resources.create(secret(1024 * 1024))
  await assert.rejects(resources.update(secret(1.2 * 1024 * 1024)), tooLarge)
})

test('those who apply an object, each owning its fields, do not make it grow without bound', async () => {
  const { resources } = open()
  const names = Array.from({ length: 20 }, (_, index) => [`${index}`.repeat(3_000), ''])
  const config = { ...service(0), spec: { labels: Object.fromEntries(names) as Record<string, string> } }
  const apply = async () => {
    for (let manager = 0; manager < 60; manager++) {
      await resources.apply<'Service'>(config, { fieldManager: `manager-${manager}` })
    }
  }
  await assert.rejects(apply, tooLarge)
})

test('an object that was too large becomes smaller, gets its status, and is deleted', async () => {
  const { store, resources } = open()
  await resources.create(service(300))
  const key = '/registry/core.riptides.io/services/riptides-system/aws'
  const { object, hidden } = (await loadRecord(store, 'Service', namespace, 'aws'))!
  const large = { ...object, spec: service(600).spec }
  const value = Buffer.from(JSON.stringify({ object: large, hidden }))
  await store.transaction([], [{ type: 'put', key, value }])

  const status = { state: 'OK' as const, message: 'well' }
  assert.deepEqual((await resources.updateStatus('Service', namespace, 'aws', status)).status, status)
  const patch = (document: object, options = {}) =>
    resources.patch('Service', namespace, 'aws', { type: 'merge', document }, { actor, ...options })
  await assert.rejects(patch({ status: { message: 'better' } }, { subresource: 'status' }), tooLarge)
  await assert.rejects(patch({ metadata: { labels: { a: 'b' } } }), tooLarge)
  await patch({ spec: { labels: { a0: null } } })
  await patch({ metadata: { finalizers: ['example.org/a'] }, spec: { labels: { a1: null } } })
  const going = await resources.delete('Service', namespace, 'aws', {}, { actor })
  assert.notEqual(going.metadata.deletionTimestamp, undefined)
  await patch({ metadata: { finalizers: null } })
  assert.equal(await resources.get('Service', namespace, 'aws'), undefined)
})
