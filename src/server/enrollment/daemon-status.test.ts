import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import type { Daemon, StatusOf } from '#model/resource'
import type { Resources } from '#server/store'
import { openDaemonStatus, type DaemonStatus } from './daemon-status.ts'

test('that somebody else takes a daemon for gone is heard while its own server waits for a write to end', async () => {
  let stored: StatusOf<'Daemon'> = {}
  let writes = 0
  const stop = new AbortController()
  const status: DaemonStatus = openDaemonStatus({
    resources: {
      async updateStatus(_: string, __: string, ___: string, next: (object: unknown) => typeof stored) {
        await Promise.resolve()
        stored = next({ status: stored })
        // The answer to the first comes after what was written next.
        if (++writes > 1) return
        stored = { ...stored, state: 'DISCONNECTED', message: 'its last server lost it' }
        status.changed({ status: stored } as unknown as Daemon)
      },
    } as unknown as Pick<Resources, 'updateStatus'>,
    clock: openTestClock(),
    log: silentLog,
    name: 'one',
    daemons: () => 1,
    signal: stop.signal,
  })
  const hello = { version: '1', captureDetail: '', metadata: {} }
  status.connected(hello as unknown as Parameters<DaemonStatus['connected']>[0], 'user')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(stored?.state, 'OK')
  stop.abort()
})
