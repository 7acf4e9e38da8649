import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { openMemoryStore } from '#server/store'
import { openChanges } from './changes.ts'
import { daemonNamed, planOf } from './fixture.ts'
import { openScopes } from './scopes.ts'
import { openStreamReports } from './stream-reports.ts'

test('a server knows which daemons are connected to another, until they are not', async () => {
  await using store = openMemoryStore()
  const stop = new AbortController()
  const { signal } = stop
  const clock = openTestClock()
  const open = (server: string) => {
    const changes = openChanges()
    const scopes = openScopes({ changes })
    scopes.publish(planOf(), () => undefined)
    const reports = openStreamReports({ store, server, scopes, changes, clock, log: silentLog })
    return { changes, scopes, reports, running: reports.run({ signal }) }
  }
  const [one, other] = [open('one'), open('other')]
  const until = async (names: readonly string[]) => {
    for (;;) {
      const { rings } = other.changes
      const remote = other.reports.remote().map(({ daemon }) => daemon.name)
      if (remote.join() === names.join()) return
      await other.changes.after(rings, signal)
    }
  }
  const leaves = new AbortController()
  const updates = one.scopes.follow(daemonNamed('here'), { signal: leaves.signal })[Symbol.asyncIterator]()
  await updates.next()
  await until(['here'])
  assert.ok(other.reports.isElsewhere('here'))
  assert.ok(!one.reports.isElsewhere('here'))
  leaves.abort()
  await updates.return?.()
  await until([])
  stop.abort()
  await Promise.all([one.running, other.running])
})
