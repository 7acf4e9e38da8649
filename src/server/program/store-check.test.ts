import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { Fault } from '#base/errors'
import { openReadiness } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { openMetrics } from '#base/metrics'
import { openMemoryStore } from '#server/store'
import { openHealthServer } from './health.ts'
import { openStoreCheck } from './store-check.ts'

const done = { ok: true, revision: 1 } as const
const full = () => new Fault('STORE_UNAVAILABLE', 'there is no room left on the disk', { hint: 'make room' })

/** A store whose writes end as a test says. */
function openBed() {
  const clock = openTestClock()
  const writes: PromiseWithResolvers<typeof done>[] = []
  const transaction = () => {
    const write = Promise.withResolvers<typeof done>()
    writes.push(write)
    return write.promise
  }
  return { clock, writes, check: openStoreCheck({ store: { transaction }, clock }) }
}

test('a store that refuses a write is at fault, says why, and is asked again after some seconds', async () => {
  const { clock, writes, check } = openBed()
  const asked = [check(), check()]
  writes[0]!.reject(full())
  assert.deepEqual(await Promise.all(asked), Array(2).fill('there is no room left on the disk: make room'))
  assert.equal(await check(), 'there is no room left on the disk: make room')
  assert.equal(writes.length, 1)
  await clock.advance(5_000)
  const later = check()
  writes[1]!.resolve(done)
  assert.equal(await later, undefined)
  assert.equal(writes.length, 2)
})

test('a store that does not answer is at fault within two seconds, and one write at a time waits for it', async () => {
  const { clock, writes, check } = openBed()
  const asked = check()
  await clock.advance(2_000)
  assert.equal(await asked, 'it has not answered a write for 2 s')
  await clock.advance(60_000)
  const again = check()
  await clock.advance(0)
  assert.equal(await again, 'it has not answered a write for 2 s')
  assert.equal(writes.length, 1)
  writes[0]!.resolve(done)
  await clock.advance(0)
  const recovered = check()
  writes[1]!.resolve(done)
  assert.equal(await recovered, undefined)
})

test('a server whose store fails lives on, is not ready, and says why; and is ready again with the store', async () => {
  const readiness = openReadiness()
  const release = readiness.block('start')
  const disk = { isFull: true }
  await using store = openMemoryStore()
  const transaction: typeof store.transaction = (compares, operations) =>
    disk.isFull ? Promise.reject(full()) : store.transaction(compares, operations)
  const clock = openTestClock()
  readiness.require('store', openStoreCheck({ store: { transaction }, clock }))
  await using metrics = openMetrics()
  const listen = { host: '127.0.0.1', port: 0 }
  await using health = await openHealthServer({ listen, readiness, metrics, log: silentLog })
  const ask = (path: string) =>
    new Promise<string>((resolve, reject) => {
      const asked = request({ ...listen, port: health.port, path, agent: false }, (answer) => {
        text(answer).then((said) => resolve(`${answer.statusCode} ${said}`), reject)
      })
      asked.on('error', reject)
      asked.end()
    })
  const why = 'store: there is no room left on the disk: make room\n'
  assert.equal(await ask('/readyz'), `503 start: it is still waited for\n${why}`)
  release()
  assert.equal(await ask('/readyz'), `503 ${why}`)
  for (const path of ['/livez', '/healthz']) assert.equal(await ask(path), '200 ok\n')
  disk.isFull = false
  await clock.advance(5_000)
  assert.equal(await ask('/readyz'), '200 ok\n')
})
