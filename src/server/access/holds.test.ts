import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { openAccess } from './access.ts'

/** Access of one token that is good for an hour, and may do everything. */
function openBed() {
  const clock = openTestClock()
  const expiresAt = clock.now() + 3_600_000
  const principal = { name: 'a', uid: '1', groups: ['system:masters'], provider: 'test', expiresAt }
  const access = openAccess({
    authenticators: [{ authenticate: async () => (clock.now() < expiresAt ? principal : undefined) }],
    policy: { roles: [], bindings: [] } as never,
    cache: { onChange: () => () => {} },
    clock,
    log: silentLog,
  })
  const request = { verb: 'watch', apiGroup: '', resource: 'secrets', namespace: 'a' } as never
  return { clock, access, hold: () => access.hold({ authorization: 'Bearer token' }, request) }
}

test('a watch ends with its token, not with the next look of the minute', async () => {
  const { clock, access, hold } = openBed()
  using _ = access
  using held = hold()
  await clock.untilArmed()
  await clock.advance(3_599_000)
  assert.ok(!held.signal.aborted)
  const ended = once(held.signal, 'abort')
  await clock.advance(1_500)
  await ended
})

test('a watch ends at once where the clock was set to beyond the end of its token', async () => {
  const { clock, access, hold } = openBed()
  using _ = access
  using held = hold()
  await clock.untilArmed()
  const ended = once(held.signal, 'abort')
  await clock.set(7_200_000)
  await ended
})
