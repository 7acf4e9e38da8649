import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock, systemClock } from '#base/clock'
import { host, listenPlain, listenTls, openBed, scopeOf, serverIdentity } from './fixture.ts'
import { openSkews } from './skew.ts'
import { answering, openClient, openPlainClient, request } from './talk.ts'

const minute = 60_000
const address = '127.0.0.1'

function open() {
  const clock = openTestClock()
  const said: string[] = []
  const conditions = {
    raise: (subject: string, type: string, reason: string, message: string) =>
      void said.push(`${subject} ${type} ${reason}: ${message}`),
    clear: (subject: string, type: string) => void said.push(`${subject} ${type} cleared`),
  }
  const skews = openSkews({ clock, conditions })
  const hear = (host: string, offsetMs: number, more: { name: string; value: string }[] = []) => {
    const date = new Date(clock.now() + offsetMs).toUTCString()
    skews.learn(host, [{ name: 'date', value: date }, ...more])
  }
  return { clock, skews, said, hear }
}

test('what a response takes on its way changes nothing', () => {
  const { skews, said, hear } = open()
  for (const offset of [0, -2_000, 40_000, -40_000]) hear('a', offset)
  assert.equal(skews.offsetMs('a'), 0)
  assert.deepEqual(said, [])
})

test('signatures are dated for the host whose clock differs, and for no other', () => {
  const { skews, said, hear } = open()
  hear('a', 7 * minute)
  hear('b', 0)
  assert.ok(Math.abs(skews.offsetMs('a') - 7 * minute) <= 1000)
  assert.equal(skews.offsetMs('b'), 0)
  assert.match(said[0]!, /^daemon ClockInSync ClockAdjusted: the clock of this node is 7 min behind a: /)
  hear('a', -6 * minute)
  assert.match(said.at(-1)!, /6 min ahead of a/)
})

test('the report ends when the clocks agree again', async () => {
  const { clock, skews, said, hear } = open()
  hear('a', 7 * minute)
  await clock.advance(1000)
  hear('a', 0)
  assert.equal(skews.offsetMs('a'), 0)
  assert.equal(said.at(-1), 'daemon ClockInSync cleared')
})

test('nothing is left of what was learned before the clock was set', async () => {
  const { clock, skews, said, hear } = open()
  hear('a', 7 * minute)
  await clock.set(7 * minute)
  assert.equal(skews.offsetMs('a'), 0)
  assert.equal(said.at(-1), 'daemon ClockInSync cleared')
})

test('a host that lies beyond the bound is not believed, and reported', () => {
  const { skews, said, hear } = open()
  for (const offset of [20 * minute, -20 * minute, 365 * 24 * 60 * minute]) {
    hear('a', offset)
    assert.equal(skews.offsetMs('a'), 0)
    assert.match(said.at(-1)!, /ClockBeyondBound: .* too far to sign for it/)
  }
})

test('responses out of a cache, and dates that are none, teach nothing', () => {
  const { skews, said, hear } = open()
  hear('a', -7 * minute, [{ name: 'age', value: '420' }])
  skews.learn('a', [{ name: 'date', value: 'yesterday' }])
  skews.learn('a', [])
  assert.equal(skews.offsetMs('a'), 0)
  assert.deepEqual(said, [])
})

test('no more hosts are remembered than the bound', () => {
  const { skews, hear } = open()
  for (let number = 0; number < 300; number++) hear(`host-${number}`, 7 * minute)
  assert.equal(skews.offsetMs('host-0'), 0)
  assert.notEqual(skews.offsetMs('host-299'), 0)
})

/** Of the first two. */
function minutesApart(dates: readonly (string | undefined)[]): number {
  const [first, second] = dates.map((date) =>
    Date.parse(date!.replace(/(..)(..)T(..)(..)(..)Z/, '-$1-$2T$3:$4:$5Z')),
  )
  return Math.round((second! - first!) / minute)
}

test('the next request to an upstream whose clock differs is dated for it', async () => {
  await using bed = openBed()
  const dates: (string | undefined)[] = []
  const upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      dates.push(head.headers.find(({ name }) => name === 'x-amz-date')?.value)
      const ahead = new Date(systemClock.now() + 7 * minute).toUTCString()
      return `HTTP/1.1 403 Forbidden\r\nDate: ${ahead}\r\nContent-Length: 0\r\n\r\n`
    }),
  )
  await using _ = upstream
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address, port: upstream.port }))
  for (const path of ['/one', '/two']) await client.send(request(`GET ${path}`))
  assert.equal(minutesApart(dates), 7)
})

test('in plain text nobody has proved whose clock it is: nothing is learned', async () => {
  await using bed = openBed()
  const dates: (string | undefined)[] = []
  const ahead = new Date(systemClock.now() + 7 * minute).toUTCString()
  await using upstream = await listenPlain(
    answering(({ head }) => {
      dates.push(head.headers.find(({ name }) => name === 'x-amz-date')?.value)
      return `HTTP/1.1 403 Forbidden\r\nDate: ${ahead}\r\nContent-Length: 0\r\n\r\n`
    }),
  )
  const addresses = [{ host: address, port: upstream.port }]
  const signing = { service: 's3', region: 'us-east-1' }
  bed.plane.apply(scopeOf(upstream.port, { service: { addresses, signing } }))
  using client = await openPlainClient(await bed.listen({ address, port: upstream.port }))
  for (const path of ['/one', '/two']) {
    await client.send(`GET ${path} HTTP/1.1\r\nHost: ${address}:${upstream.port}\r\n\r\n`)
  }
  assert.equal(minutesApart(dates), 0)
})
