import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import type { Service } from '#model/resource'
import { openMemoryStore, openResources, type Sealer } from '#server/store'
import { judge, nextStatus } from './desired-status.ts'
import { service } from './fixture.ts'
import { openStatusWriter } from './status-writer.ts'

const judged = {
  state: 'OK' as const,
  message: 'bound',
  conditions: [judge('Bound', 'True', 'Selected', 'bound')],
}

/** Writes what was found of a Service after `change` has been made. */
async function stateAfter(
  change: (known: Service, bed: Awaited<ReturnType<typeof openBed>>) => Promise<unknown>,
) {
  const bed = await openBed()
  const { apiVersion, spec } = service('a', ['x.com'])
  const draft = {
    apiVersion,
    kind: 'Service' as const,
    metadata: { name: 'a', namespace: 'riptides-system' },
    spec,
  }
  const known = await bed.resources.create<'Service'>(draft)
  await change(known, bed)
  {
    await using writer = openStatusWriter({ resources: bed.resources, clock: bed.clock, log: silentLog })
    writer.set<'Service'>(known, (current) => nextStatus<'Service'>(current, judged, bed.clock.now()))
  }
  const { metadata, status } = (await bed.resources.get('Service', 'riptides-system', 'a'))!
  return { state: status?.state, isObserved: status?.observedGeneration === metadata.generation }
}

async function openBed() {
  const clock = openTestClock()
  const resources = openResources(openMemoryStore(), { clock, random: randomBytes, sealer: {} as Sealer })
  return { clock, resources }
}

test('what was found of an object is not said of what it has become since', async () => {
  assert.deepEqual(await stateAfter(async () => {}), { state: 'OK', isObserved: true })
  const changed = await stateAfter((known, { resources }) =>
    resources.update<'Service'>({ ...known, spec: { ...known.spec, labels: { app: 'b' } } }),
  )
  assert.deepEqual(changed, { state: 'PENDING', isObserved: false })
  const made = await stateAfter(async (known, { resources }) => {
    await resources.delete('Service', 'riptides-system', 'a')
    const { apiVersion, kind, spec } = known
    await resources.create({ apiVersion, kind, metadata: { name: 'a', namespace: 'riptides-system' }, spec })
  })
  assert.deepEqual(made, { state: 'PENDING', isObserved: false })
})
