import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { runTogether } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { openCustody } from '#server/keys'
import { openMemoryStore } from '#server/store'
import { openAccountKeys, openTokenIssuer } from './index.ts'

const schedule = { publishAheadSeconds: 86_400, rotateEverySeconds: 10 * 86_400, maxTokenTtlSeconds: 86_400 }

async function openSetup() {
  const clock = openTestClock()
  const store = openMemoryStore()
  const custody = await openCustody(store, createSecretKey(randomBytes(32)))
  const open = () => openAccountKeys({ store, custody, clock, log: silentLog, schedule })
  return { clock, store, custody, open }
}

test('the key of service accounts rotates on schedule; the one before verifies until its last token is over', async () => {
  const { clock, store, custody, open } = await openSetup()
  const keys = await open()
  const stop = new AbortController()
  const running = runTogether(stop.signal, [
    ({ signal }) => keys.follow({ signal }),
    ({ signal }) => keys.keepSchedule({ signal, store, custody }),
  ])
  const pass = async (seconds: number) => {
    for (let left = seconds; left > 0; left -= 3600) {
      await clock.untilArmed()
      await clock.advance(Math.min(left, 3600) * 1000)
    }
    await clock.untilArmed()
  }
  const first = await keys.active()
  await pass(10 * 86_400)
  const second = await keys.active()
  assert.notEqual(second.kid, first.kid)
  assert.ok(keys.publicKey(first.kid))
  await pass(86_400 - 7200)
  assert.ok(keys.publicKey(first.kid))
  await pass(2 * 7200)
  assert.equal(keys.publicKey(first.kid), undefined)
  assert.deepEqual(await custody.names('access/'), [`access/${second.kid}`])
  stop.abort()
  await running
})

test('by command it is exchanged within a minute, in which other servers hear of it', async () => {
  const { clock, store, custody, open } = await openSetup()
  const [one, other] = [await open(), await open()]
  const stop = new AbortController()
  const running = other.follow({ signal: stop.signal })
  const before = await one.active()
  const { kid, state, since } = await one.rotate()
  assert.deepEqual([state, since - clock.now()], ['published', 60_000])
  await clock.advance(60_000)
  for (const server of [one, other]) assert.equal((await server.active()).kid, kid)
  assert.ok(other.publicKey(before.kid))
  stop.abort()
  await running
  const issuer = await openTokenIssuer({
    store,
    custody,
    clock,
    log: silentLog,
    settings: { url: 'https://issuer.example' },
  })
  const published = issuer.jwks().keys.map((key) => key['kid'])
  assert.ok(!published.includes(kid) && !published.includes(before.kid))
})
