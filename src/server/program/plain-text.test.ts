import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Draft, Service } from '#model/resource'
import { openResources, openSqliteStore } from '#server/store'
import { guideResources, namespacePath, openFakeDaemon, openTestBed, type TestBed } from './fixture.ts'

const workloadId = 'riptides/daemon/one'

/** Writes a Service as two that are written at the same moment, or an earlier build: nobody judges it. */
async function writeUnjudged({ dataDir }: TestBed, spec: Service['spec']): Promise<void> {
  await using store = await openSqliteStore({ path: join(dataDir, 'tideway.db') })
  const unused = { seal: () => assert.fail(), unseal: () => assert.fail() }
  const resources = openResources(store, { clock: openTestClock(), random: randomBytes, sealer: unused })
  const apiVersion = 'core.riptides.io/v1alpha1'
  const draft: Draft<Service> = { apiVersion, kind: 'Service', metadata: { name: 'bedrock' }, spec }
  await resources.create(draft)
}

test('a binding that could send its credential without TLS says so, gets none, and heals', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  const { services, ...others } = guideResources(bed.sts, workloadId)
  await first.apply(others)
  await first.stop()
  const { bedrock } = services
  await writeUnjudged(bed, {
    ...bedrock,
    addresses: [...bedrock.addresses, { address: 'plain.example', port: 80 }],
  })

  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId })
  context.after(() => daemon.close())
  const failed = await server.until(
    'credentialbindings',
    'binding',
    ({ status }) => status?.state === 'FAILED',
  )
  const resolved = failed.status?.conditions?.find(({ type }) => type === 'Resolved')
  assert.equal(resolved?.reason, 'PlainText')
  assert.match(
    resolved.message,
    /without TLS to spec.addresses\[1\] of the external Service bedrock: give it/,
  )
  await server.until('services', 'bedrock', ({ status }) =>
    /no CredentialBinding/.test(status?.message ?? ''),
  )
  assert.equal(bed.sts.requests.length, 0)
  assert.deepEqual([daemon.scope().bindings.size, daemon.scope().credentials.size], [0, 0])

  const { metadata, spec } = failed
  const mended = { ...spec, plainTextReason: 'a cable between two machines' }
  await server.call('PUT', `${namespacePath}/credentialbindings/binding`, {
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'CredentialBinding',
    metadata: { name: metadata.name },
    spec: mended,
  })
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
})
