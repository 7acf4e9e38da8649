import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { guideResources, openFakeDaemon, openTestBed, spiffeId } from './fixture.ts'

test('source and binding become AVAILABLE and OK, and the daemon gets exactly what it needs', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const resources = guideResources(bed.sts, 'riptides/daemon/one')
  await server.apply({ credentialsources: resources.credentialsources })
  const source = await server.until('credentialsources', 'aws', ({ status }) => status?.state === 'AVAILABLE')
  assert.equal(source.status?.conditions?.find(({ type }) => type === 'Exchanged')?.status, 'Unknown')

  await server.apply({
    credentialbindings: resources.credentialbindings,
    services: resources.services,
    workloadidentitys: resources.workloadidentitys,
  })
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: 'riptides/daemon/one' })
  context.after(() => daemon.close())
  const binding = await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  assert.deepEqual(binding.status?.daemons, [{ name: daemon.name, state: 'OK' }])
  const [credential] = [...daemon.scope().credentials.values()]
  assert.equal(credential?.spiffeId, spiffeId)
  assert.equal(credential?.credential.accessKeyId, binding.status?.credential?.id)
  assert.equal(bed.sts.requests.length, 1)
  assert.equal(bed.sts.requests[0]?.['RoleSessionName'], 'my-app=workload')

  const audit = await readFile(join(bed.dataDir, 'audit', '0000000001.jsonl'), 'utf8')
  assert.match(audit, /"verb":"exchange","object":"CredentialSource\/aws","outcome":"ok"/)
})
