import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import type { Credentials, Exchanges, Probes } from '#server/exchange'
import { openMemoryStore, openResourceCache, openResources } from '#server/store'
import { openChanges } from './changes.ts'
import { openReconciler } from './controller.ts'
import { makeObject, trustDomain } from './fixture.ts'
import { openScopes } from './scopes.ts'
import { noReports } from './stream-reports.ts'

const sealer = {
  seal: (_: string, bytes: Uint8Array) => bytes,
  unseal: (_: string, bytes: Uint8Array) => bytes,
}

test('what expires does so within a minute where the clock was set, or the machine slept', async () => {
  const timers = openTestClock()
  let offset = 0
  const clock = { ...timers, now: () => timers.now() + offset }
  await using store = openMemoryStore()
  const resources = openResources(store, { clock, random: randomBytes, sealer })
  await using cache = await openResourceCache(resources)
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
  const exchanges = { require: () => {}, state: () => undefined } as unknown as Exchanges
  const probes = { watch: () => {}, discovery: () => ({ state: 'ok' }) } as unknown as Probes
  const running = [
    reconciler.run(stop),
    reconciler.lead({ signal: stop.signal, exchanges, probes, resources }),
  ]
  const expireAt = new Date(clock.now() + 3_600_000).toISOString()
  const token = makeObject('JoinToken', 'join', { token: 'a-token-of-enough-letters', expireAt })
  const { apiVersion, kind, spec } = token
  await resources.create<'JoinToken'>({
    apiVersion,
    kind,
    spec,
    metadata: { name: 'join', namespace: 'riptides-system' },
  })
  const becomes = async (state: string) => {
    for await (const events of resources.watch('JoinToken', { fromRevision: '0', signal: stop.signal }))
      if (events.some(({ object }) => object.status?.state === state)) return
  }
  await becomes('AVAILABLE')
  await timers.untilArmed()
  offset = 7_200_000
  await timers.advance(60_000)
  await becomes('EXPIRED')
  stop.abort()
  await Promise.all(running)
  assert.equal(cache.get('JoinToken', 'riptides-system', 'join')?.status?.state, 'EXPIRED')
})
