import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import type { Kind, ResourceOf } from '#model/resource'
import type { Credentials, Exchanges, Probes } from '#server/exchange'
import { openMemoryStore, openResourceCache, openResources } from '#server/store'
import { openChanges } from './changes.ts'
import { openReconciler } from './controller.ts'
import { identity, makeObject, service, trustDomain } from './fixture.ts'
import { openScopes } from './scopes.ts'
import { noReports } from './stream-reports.ts'

const sealer = {
  seal: (_: string, bytes: Uint8Array) => bytes,
  unseal: (_: string, bytes: Uint8Array) => bytes,
}

/** A server that leads, alone, once told to. */
async function openBed(context: TestContext) {
  const stack = new AsyncDisposableStack()
  context.after(() => stack.disposeAsync())
  const clock = openTestClock()
  const store = stack.use(openMemoryStore())
  const resources = openResources(store, { clock, random: randomBytes, sealer })
  const cache = stack.use(await openResourceCache(resources))
  const changes = openChanges()
  const reconciler = openReconciler({
    store,
    cache,
    credentials: { of: () => undefined } as unknown as Credentials,
    scopes: openScopes({ changes }),
    reports: noReports,
    missedAfterMs: 5_000,
    changes,
    trustDomain,
    clock,
    log: silentLog,
  })
  const stop = new AbortController()
  const { signal } = stop
  return {
    clock,
    resources,
    async create<K extends Kind>({ apiVersion, kind, spec, metadata }: ResourceOf<K> & { spec: object }) {
      const { namespace, name } = metadata
      await resources.create({ apiVersion, kind, spec, metadata: { namespace, name } } as never)
    },
    lead() {
      const exchanges = { require: () => {}, state: () => undefined } as unknown as Exchanges
      const probes = { watch: () => {}, discovery: () => ({ state: 'ok' }) } as unknown as Probes
      const running = [reconciler.run(stop), reconciler.lead({ signal, exchanges, probes, resources })]
      stack.defer(async () => {
        stop.abort()
        await Promise.all(running)
      })
    },
    /** The version in which it is so. */
    async becomes(
      kind: 'Daemon' | 'JoinToken' | 'Service' | 'WorkloadIdentity',
      said: RegExp,
      fromRevision = '0',
    ): Promise<string> {
      for await (const events of resources.watch(kind, { fromRevision, signal })) {
        const found = events.find(({ object: { status } }) =>
          said.test(`${status?.state}: ${status?.message}`),
        )
        if (found) return found.object.metadata.resourceVersion
      }
      throw new Error('the watch has ended')
    },
  }
}

test('what expires does so at once where the clock was set or the machine slept, and no longer when it is set back', async (context) => {
  const bed = await openBed(context)
  const expireAt = new Date(bed.clock.now() + 3_600_000).toISOString()
  await bed.create(makeObject('JoinToken', 'join', { token: 'a-token-of-enough-letters', expireAt }))
  bed.lead()
  const revision = await bed.becomes('JoinToken', /^AVAILABLE/)
  await bed.clock.untilArmed()
  await bed.clock.set(7_200_000)
  const expired = await bed.becomes('JoinToken', /^EXPIRED/, revision)
  await bed.clock.set(-7_200_000)
  await bed.becomes('JoinToken', /^AVAILABLE/, expired)
})

test('a daemon that does not come back is missed in the look in which what depends on it is judged', async (context) => {
  const bed = await openBed(context)
  const node = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
  await bed.create(node)
  await bed.create(identity('app', 'app/a'))
  await bed.create(service('s3', ['s3.amazonaws.com']))
  const status = { state: 'OK', message: 'connected', observedGeneration: 1 } as const
  for (const [kind, name] of [
    ['Daemon', 'one'],
    ['WorkloadIdentity', 'app'],
  ] as const)
    await bed.resources.updateStatus(kind, 'riptides-system', name, status)
  bed.lead()
  // By then all have been looked at.
  await bed.becomes('Service', /^OK/)
  await bed.clock.advance(4_000)
  // And not a moment more than it is waited for.
  await bed.clock.advance(1_000)
  await bed.becomes('WorkloadIdentity', /^PENDING: the scope matches one, not connected/)
  await bed.becomes('Daemon', /^DISCONNECTED/)
})
