import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { applyScopeUpdate, credentialKey, emptyScope, type Scope } from '#model/scope'
import { conditionsFor, openConditionBoard } from './conditions.ts'
import { openExpiryWatch } from './expiry.ts'
import { isApp, scopeWith } from './fixture.ts'

const minute = 60_000

function open(lifeMs: number) {
  const clock = openTestClock()
  const board = openConditionBoard()
  const logged: unknown[] = []
  const log = { ...silentLog, warn: (event: string) => void logged.push(event) }
  const watch = openExpiryWatch({ board, clock, log })
  const bound = applyScopeUpdate(emptyScope, scopeWith(1, isApp, { host: 'example.org' }))
  let scope: Scope = bound
  const { spiffeId, sourceName } = bound.bindings.get('app-cloud')!
  /** A credential that was issued a moment ago. */
  const issue = () => {
    const token = Secret.of('t')
    const [issuedAt, expiresAt] = [clock.now(), clock.now() + lifeMs]
    const credential = { kind: 'bearer', token, issuedAt, expiresAt } as const
    scope = {
      ...bound,
      credentials: new Map([[credentialKey(spiffeId, sourceName), { spiffeId, sourceName, credential }]]),
    }
  }
  issue()
  /** What `tideway attest` says after `ms` more. */
  const after = async (ms: number) => {
    await clock.advance(ms)
    watch.look(scope)
    return conditionsFor('app', scope, board.all()).map(({ subject, type, status, reason, message }) => {
      assert.deepEqual([subject, type, status], ['credentialbinding/app-cloud', 'CredentialRenewed', 'False'])
      return `${reason}: ${message}`
    })
  }
  const said = () => board.all().map(({ reason }) => reason)
  const run = (options: { signal: AbortSignal }) => watch.run(() => scope, options)
  return { clock, after, issue, logged, said, run, withdraw: () => void (scope = bound) }
}

test('a credential that nobody renews is reported while it still serves, and when it has expired', async () => {
  const { after, issue, logged } = open(60 * minute)
  assert.deepEqual(await after(57 * minute), [])
  assert.deepEqual(logged, [])
  const [soon] = await after(minute)
  assert.match(
    soon!,
    /^ExpiresSoon: the credential expires at 2026-01-01T01:00:00\.000Z, and no other has come: see /,
  )
  assert.deepEqual(await after(minute), [soon])
  assert.equal(logged.length, 1, 'said once')
  const [gone] = await after(minute)
  assert.match(gone!, /^Expired: the credential has expired, at 2026-01-01T01:00:00\.000Z, /)
  assert.equal(logged.length, 2)
  issue()
  assert.deepEqual(await after(0), [], 'until another comes')
})

test('it shows within half a second, whether time passes or the clock is set', async () => {
  const { clock, said, run } = open(60 * minute)
  const stop = new AbortController()
  const running = run(stop)
  await clock.advance(57.5 * minute - 1)
  assert.deepEqual(said(), [])
  await clock.advance(500)
  assert.deepEqual(said(), ['ExpiresSoon'])
  await clock.set(60 * minute)
  await clock.advance(500)
  assert.deepEqual(said(), ['Expired'])
  stop.abort()
  await running
})

test('how soon follows from its life, and what was withdrawn is not missed', async () => {
  const short = open(minute)
  assert.deepEqual(await short.after(40_000), [])
  assert.equal((await short.after(5_000)).length, 1)
  short.withdraw()
  assert.deepEqual(await short.after(minute), [])
})
