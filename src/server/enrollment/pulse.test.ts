import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openPulse, paceFor, pingOf, type Ping } from './pulse.ts'

function openBed({ daemons = 1, ping }: { daemons?: number; ping?: Ping } = {}) {
  const clock = openTestClock()
  const stop = new AbortController()
  const said: string[] = []
  const asked: (() => void)[] = []
  const pulse = openPulse({
    ping: ping ?? ((answer) => void asked.push(answer)),
    daemons: () => daemons,
    onSilent: () => void said.push('silent'),
    onHeard: () => void said.push('heard'),
    clock,
    signal: stop.signal,
  })
  return { clock, pulse, said, asked, [Symbol.dispose]: () => stop.abort() }
}

test('a daemon that answers is never silent, and was heard of a second ago at most', async () => {
  using bed = openBed({ ping: (answer) => answer() })
  await bed.clock.advance(60_000)
  assert.deepEqual(bed.said, [])
  assert.ok(bed.clock.now() - bed.pulse.heardAt() <= 1_000)
})

test('one that does not is silent after three seconds, since it was heard of, and is asked once meanwhile', async () => {
  using bed = openBed()
  const since = bed.clock.now()
  await bed.clock.advance(2_900)
  assert.deepEqual(bed.said, [])
  await bed.clock.advance(100)
  assert.deepEqual(bed.said, ['silent'])
  await bed.clock.advance(60_000)
  assert.deepEqual([bed.said.length, bed.asked.length], [1, 1])
  assert.equal(bed.pulse.heardAt(), since)
  bed.asked[0]!()
  assert.deepEqual(bed.said, ['silent', 'heard'])
  assert.equal(bed.pulse.heardAt(), bed.clock.now())
})

test('a word of it counts as an answer', async () => {
  using bed = openBed()
  for (let times = 0; times < 20; times++) {
    await bed.clock.advance(2_500)
    bed.pulse.heard()
  }
  assert.deepEqual(bed.said, [])
})

test('what the server itself slept through is nobody’s silence', async () => {
  const clock = openTestClock()
  const stop = new AbortController()
  const said: string[] = []
  // A sleep of a second that takes ten.
  const late = { ...clock, sleep: (ms: number) => clock.sleep(ms * 10) }
  const common = { ping: () => {}, daemons: () => 1, onHeard: () => {}, signal: stop.signal }
  openPulse({ ...common, clock: late, onSilent: () => void said.push('silent') })
  await clock.advance(20_000)
  assert.deepEqual(said, [])
  await clock.advance(10_000)
  assert.deepEqual(said, ['silent'])
  stop.abort()
})

test('many daemons are asked less often, so that all of them cost no more', () => {
  assert.deepEqual(paceFor(1), { everyMs: 1_000, silentAfterMs: 3_000 })
  assert.deepEqual(paceFor(500), { everyMs: 1_000, silentAfterMs: 3_000 })
  assert.deepEqual(paceFor(1_000), { everyMs: 2_000, silentAfterMs: 5_000 })
})

test('a client of HTTP/2 answers by itself, and one that has gone is not asked', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  const client = connect(`http://127.0.0.1:${await portOf(server)}`)
  const [session] = (await once(server, 'session')) as [ServerHttp2Session]
  const ping = pingOf(session)
  await new Promise<void>((resolve) => ping(resolve))
  const closed = once(session, 'close')
  client.destroy()
  await closed
  ping(() => assert.fail('nobody is there'))
  pingOf(undefined)(() => assert.fail('nobody was there'))
  server.close()
})

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  if (!server.listening) await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
