import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { stsError } from './fake-sts.ts'
import { guideResources, namespacePath, openFakeDaemon, openTestBed, type TestServer } from './fixture.ts'

const daemonId = 'riptides/daemon/one'

type StoredObject = Awaited<ReturnType<TestServer['get']>>

const hasExchanged = ({ status }: StoredObject) =>
  status!.conditions!.some(({ type, status }) => type === 'Exchanged' && status === 'True')

/** Of a source: the issuer and the endpoint have been looked at. */
const isProbed = ({ status }: StoredObject) =>
  !status!.conditions!.some(({ reason }) => reason === 'Checking')

test('a restart exchanges nothing again, and forgets what is no longer bound', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  const daemon = await openFakeDaemon(first, bed.access!, { workloadId: daemonId })
  await first.apply(guideResources(bed.sts, daemonId))
  const before = await first.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  await daemon.close()
  await first.stop()
  const files = await readdir(bed.dataDir)
  for (const name of files.filter((name) => name.startsWith('tideway.db'))) {
    const bytes = await readFile(join(bed.dataDir, name), 'latin1')
    assert.doesNotMatch(bytes, /secret-0|session\+/)
  }

  bed.sts.mode = { kind: 'drop' }
  const second = await bed.start()
  const again = await openFakeDaemon(second, bed.access!, { workloadId: 'riptides/daemon/other' })
  context.after(() => again.close())
  const identity = (await second.get('workloadidentitys', 'workload')) as unknown as { spec: object }
  await second.call('PUT', `${namespacePath}/workloadidentitys/workload`, {
    ...identity,
    spec: { ...identity.spec, scope: { daemon: { id: again.workloadId } } },
  })
  const after = await second.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  assert.equal(after.status?.credential?.id, before.status?.credential?.id)
  assert.equal(bed.sts.requests.length, 1)
})

test('what was said stands through a restart, until it is known whose daemon does not come back', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  const [stays, goes] = await Promise.all(
    [daemonId, 'riptides/daemon/two'].map((workloadId) =>
      openFakeDaemon(first, bed.access!, { workloadId, persistent: workloadId === daemonId }),
    ),
  )
  context.after(() => stays!.close())
  await first.apply(guideResources(bed.sts, daemonId))
  await first.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  const isDaemon = (state: string) => (object: StoredObject) => {
    const ready = object.status?.conditions?.find(({ type }) => type === 'Ready')
    assert.equal(ready?.status, object.status?.state === 'OK' ? 'True' : 'False', 'both are written together')
    return object.status?.state === state
  }
  for (const { name } of [stays!, goes!]) await first.until('daemons', name, isDaemon('OK'))
  const revisions = async (server: TestServer) => [
    (await server.get('credentialbindings', 'binding')).metadata.resourceVersion,
    (await server.get('workloadidentitys', 'workload')).metadata.resourceVersion,
    (await server.get('credentialsources', 'aws')).metadata.resourceVersion,
  ]
  await first.until('credentialsources', 'aws', (source) => isProbed(source) && hasExchanged(source))
  const before = await revisions(first)
  await first.stop()
  await goes!.close()

  const second = await bed.start({ nodeListen: first.ready.nodeEndpoint })
  const { status } = await second.until('daemons', goes!.name, isDaemon('DISCONNECTED'))
  assert.match(status!.message!, /not connected since its server has gone/)
  assert.equal((await second.get('daemons', stays!.name)).status?.state, 'OK')
  assert.deepEqual(await revisions(second), before)
})

test('that an exchange fails stands through a restart, until it has been tried again', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  bed.sts.mode = stsError(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
  await first.apply(guideResources(bed.sts, daemonId))
  const said = (server: TestServer) =>
    Promise.all([
      server.until('credentialsources', 'aws', ({ status }) => status?.state === 'FAILED'),
      server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'FAILED'),
    ])
  const versions = async (server: TestServer) =>
    (await said(server)).map(({ metadata }) => metadata.resourceVersion)
  await said(first)
  await first.until('credentialsources', 'aws', isProbed)
  const before = await versions(first)
  await first.stop()
  const asked = bed.sts.requests.length
  const second = await bed.start({ listen: new URL(first.ready.url).host })
  while (bed.sts.requests.length < asked + 2) await delay(50)
  assert.deepEqual(await versions(second), before)
})
