import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { Fault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { parseSpiffeId } from '#model/identity'
import type { Exchange, ExchangeTarget } from './aws.ts'
import { openExchanges } from './exchanges.ts'
import type { ExchangeFailure } from './failure.ts'

const minute = 60_000

const target = (name = 'one', roleArn = 'arn:aws:iam::123456789012:role/r'): ExchangeTarget => ({
  spiffeId: parseSpiffeId(`spiffe://example.org/${name}`),
  sourceName: 'aws',
  aws: { roleArn },
})

const reasonOf = {
  throttled: 'Throttled',
  unavailable: 'ServiceUnavailable',
  denied: 'SubjectRefused',
  malformed: 'RequestRefused',
} as const

const failure = (kind: ExchangeFailure['kind']): ExchangeFailure => ({
  kind,
  reason: reasonOf[kind],
  message: 'why',
  needsOperator: false,
})

/** A cloud of one hour that refuses when told to, over a custody in memory. */
async function openBed({ sealed = new Map<string, Secret>(), clock = openTestClock() } = {}) {
  const cloud = {
    refuse: undefined as ExchangeFailure | undefined,
    asked: [] as { at: number; name: string }[],
    running: 0,
    mostRunning: 0,
    held: undefined as Promise<void> | undefined,
  }
  const audited: string[] = []
  const auditing = { broken: false }
  const unreachable: string[] = []
  const changes = openBell()
  const exchange: Exchange = async ({ spiffeId }, { signal }) => {
    cloud.asked.push({ at: clock.now(), name: spiffeId })
    cloud.mostRunning = Math.max(cloud.mostRunning, ++cloud.running)
    await cloud.held
    cloud.running--
    signal.throwIfAborted()
    if (cloud.refuse) return { ok: false, failure: cloud.refuse }
    const credential = {
      kind: 'aws' as const,
      accessKeyId: `ASIA${cloud.asked.length}`,
      secretAccessKey: Secret.of('secret'),
      sessionToken: Secret.of('token'),
      issuedAt: clock.now(),
      expiresAt: clock.now() + 60 * minute,
    }
    return { ok: true, credential }
  }
  const exchanges = await openExchanges({
    exchange,
    custody: {
      load: async (name) => sealed.get(name),
      save: async (name, secret) => void sealed.set(name, secret),
      remove: async (name) => void sealed.delete(name),
      names: async (prefix) => [...sealed.keys()].filter((name) => name.startsWith(prefix)),
    },
    audit: {
      change: async ({ outcome, message }) => {
        if (auditing.broken) throw new Fault('AUDIT_UNAVAILABLE', 'audit trail cannot be written')
        audited.push(`${outcome} ${message}`)
      },
      expectWritable: async () => {},
    },
    clock,
    log: silentLog,
    random: () => 0,
    onUnreachable: ({ sourceName }) => void unreachable.push(sourceName),
    changes: { credential: () => changes.ring() },
  })
  const require = (...targets: ExchangeTarget[]) =>
    exchanges.require(new Map(targets.map((item) => [item.spiffeId, item])))
  const until = async (test: () => boolean) => {
    const deadline = AbortSignal.timeout(5_000)
    for (let heard = changes.rings; !test(); heard = changes.rings) {
      await changes.after(heard, deadline)
      if (deadline.aborted) throw new Error('this did not come')
    }
  }
  const idOf = (item: ExchangeTarget) => exchanges.state(item.spiffeId)?.credential?.accessKeyId
  const failureOf = (item: ExchangeTarget) => exchanges.state(item.spiffeId)?.failure?.reason
  return {
    exchanges,
    cloud,
    clock,
    sealed,
    audited,
    auditing,
    require,
    until,
    idOf,
    failureOf,
    changes,
    unreachable,
  }
}

test('a credential is renewed when 20 % of its life, at most five minutes, is left', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const one = target()
  bed.require(one)
  await bed.until(() => bed.idOf(one) === 'ASIA1')
  await bed.clock.untilArmed()
  await bed.clock.advance(54 * minute)
  assert.equal(bed.cloud.asked.length, 1)
  await bed.clock.advance(minute)
  await bed.until(() => bed.idOf(one) === 'ASIA2')
  assert.equal(bed.cloud.asked[1]!.at - bed.cloud.asked[0]!.at, 55 * minute)
  assert.match(bed.audited[0]!, /^ok spiffe:\/\/example\.org\/one: ASIA1 until 2026-01-01T01:00:00\.000Z$/)
})

test('what the clock jumped over is done at once', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const one = target()
  bed.require(one)
  await bed.until(() => bed.idOf(one) === 'ASIA1')
  await bed.clock.untilArmed()
  bed.cloud.refuse = failure('denied')
  await bed.clock.set(2 * 60 * minute)
  await bed.until(() => bed.failureOf(one) !== undefined && bed.idOf(one) === undefined)
  bed.cloud.refuse = undefined
  await bed.clock.advance(1000)
  await bed.until(() => bed.idOf(one) === 'ASIA3')
  // Set back, it would be kept for two hours beyond its real end; so would the pause after a failure.
  await bed.clock.untilArmed()
  bed.cloud.refuse = failure('denied')
  await bed.clock.set(-2 * 60 * minute)
  await bed.until(() => bed.failureOf(one) !== undefined)
  bed.cloud.refuse = undefined
  await bed.clock.set(-2 * 60 * minute)
  await bed.clock.advance(1000)
  await bed.until(() => bed.idOf(one) === 'ASIA5')
})

test('the old credential serves while renewal fails, and is gone the moment it expires', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const one = target()
  bed.require(one)
  await bed.until(() => bed.idOf(one) === 'ASIA1')
  bed.cloud.refuse = failure('denied')
  await bed.clock.untilArmed()
  await bed.clock.advance(56 * minute)
  await bed.until(() => bed.failureOf(one) === 'SubjectRefused')
  assert.equal(bed.idOf(one), 'ASIA1')
  await bed.clock.advance(4 * minute)
  await bed.until(() => bed.idOf(one) === undefined)
  bed.cloud.refuse = undefined
  await bed.clock.advance(minute)
  await bed.until(() => bed.idOf(one) !== undefined)
  assert.equal(bed.failureOf(one), undefined)
})

test('how soon it is tried again follows from the kind of refusal', async () => {
  const firstDelays = { throttled: 1_000, unavailable: 500, denied: 1_000, malformed: 1_000 }
  for (const [kind, delay] of Object.entries(firstDelays) as [ExchangeFailure['kind'], number][]) {
    const bed = await openBed()
    await using _ = bed.exchanges
    bed.cloud.refuse = failure(kind)
    bed.require(target())
    await bed.until(() => bed.failureOf(target()) !== undefined)
    await bed.clock.untilArmed()
    for (let i = 0; i < 40; i++) await bed.clock.advance(30_000)
    const gaps = bed.cloud.asked.slice(1).map(({ at }, index) => at - bed.cloud.asked[index]!.at)
    assert.equal(gaps[0], delay, kind)
    assert.equal(gaps[1], 2 * delay, kind)
    assert.ok(Math.max(...gaps) <= 300_000, kind)
  }
})

test('what was exchanged is opened from custody after a restart, unless its rights changed', async () => {
  const first = await openBed()
  const one = target()
  first.require(one)
  await first.until(() => first.idOf(one) === 'ASIA1')
  await first.exchanges[Symbol.asyncDispose]()

  const second = await openBed({ sealed: first.sealed })
  second.require(one)
  await second.until(() => second.idOf(one) === 'ASIA1')
  assert.equal(second.cloud.asked.length, 0)
  second.require(target('one', 'arn:aws:iam::123456789012:role/other'))
  assert.equal(second.idOf(one), undefined)
  await second.until(() => second.idOf(one) !== undefined)
  assert.equal(second.cloud.asked.length, 1)
  second.require()
  await second.exchanges[Symbol.asyncDispose]()
  assert.equal(second.sealed.size, 0)
})

test('of what was required before a restart it is said that it has not been tried yet', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const held = Promise.withResolvers<void>()
  bed.cloud.held = held.promise
  const [before, since] = [target('before'), target('since')]
  bed.require(before)
  bed.require(before, since)
  assert.equal(bed.exchanges.state(before.spiffeId)?.isUntried, true)
  assert.equal(bed.exchanges.state(since.spiffeId)?.isUntried, undefined)
  held.resolve()
  await bed.until(() => bed.idOf(before) !== undefined)
  assert.equal(bed.exchanges.state(before.spiffeId)?.isUntried, undefined)
})

test('what an earlier run sealed and nobody needs any more is removed', async () => {
  const sealed = new Map([['exchange/aws/spiffe://example.org/gone', Secret.of('{}')]])
  const bed = await openBed({ sealed })
  bed.require()
  await bed.exchanges[Symbol.asyncDispose]()
  assert.equal(sealed.size, 0)
})

test('a sealed credential that cannot be read is replaced', async () => {
  const sealed = new Map([['exchange/aws/spiffe://example.org/one', Secret.of('{ damaged')]])
  const bed = await openBed({ sealed })
  await using _ = bed.exchanges
  bed.require(target())
  await bed.until(() => bed.idOf(target()) === 'ASIA1')
})

test('rotations at one time share one exchange; of what is not required there is none', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const one = target()
  bed.require(one)
  await bed.until(() => bed.idOf(one) === 'ASIA1')
  await bed.clock.untilArmed()
  const states = await Promise.all([1, 2, 3].map(() => bed.exchanges.rotateNow(one.spiffeId)))
  assert.deepEqual(
    states.map((state) => state?.credential?.accessKeyId),
    ['ASIA2', 'ASIA2', 'ASIA2'],
  )
  assert.equal(bed.cloud.asked.length, 2)
  assert.equal(await bed.exchanges.rotateNow('nobody'), undefined)
})

test('many that are due at one time go to the cloud a few at a time', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const { promise, resolve } = Promise.withResolvers<void>()
  bed.cloud.held = promise
  const targets = Array.from({ length: 50 }, (_, index) => target(`w${index}`))
  bed.require(...targets)
  await new Promise(setImmediate)
  assert.equal(bed.cloud.running, 8)
  resolve()
  await bed.until(() => targets.every((item) => bed.idOf(item) !== undefined))
  assert.equal(bed.cloud.mostRunning, 8)
  assert.equal(bed.cloud.asked.length, 50)
})

test('an exchange under way for what is no longer required comes to nothing', async () => {
  const bed = await openBed()
  const { promise, resolve } = Promise.withResolvers<void>()
  bed.cloud.held = promise
  bed.require(target())
  await new Promise(setImmediate)
  bed.require()
  bed.require(target())
  resolve()
  await bed.until(() => bed.idOf(target()) === 'ASIA2')
  assert.equal(bed.sealed.size, 1)
  bed.require()
  await bed.exchanges[Symbol.asyncDispose]()
  assert.equal(bed.sealed.size, 0)
})

test('a credential that the trail cannot record is not used', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  bed.auditing.broken = true
  bed.require(target())
  await bed.until(() => bed.failureOf(target()) !== undefined)
  assert.equal(bed.idOf(target()), undefined)
  assert.equal(bed.sealed.size, 0)
  bed.auditing.broken = false
  await bed.clock.untilArmed()
  await bed.clock.advance(1_000)
  await bed.until(() => bed.idOf(target()) !== undefined)
})

test('an endpoint that can be reached again is asked at once, whatever the back-off', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const one = target()
  bed.cloud.refuse = failure('unavailable')
  bed.require(one)
  await bed.until(() => bed.failureOf(one) !== undefined)
  assert.deepEqual(bed.unreachable, ['aws'])
  bed.cloud.refuse = undefined
  await bed.clock.untilArmed()
  bed.exchanges.retry('https://elsewhere.example')
  bed.exchanges.retry(undefined)
  assert.equal(bed.cloud.asked.length, 1)
  bed.exchanges.retry('https://sts.amazonaws.com')
  await bed.until(() => bed.idOf(one) === 'ASIA2')
})

test('what waits for the issuer is tried when the issuer can be read again, what was denied is not', async () => {
  const bed = await openBed()
  await using _ = bed.exchanges
  const [one, two] = [target('one'), target('two')]
  bed.cloud.refuse = { ...failure('denied'), reason: 'IssuerUnreachable' }
  bed.require(one)
  await bed.until(() => bed.failureOf(one) !== undefined)
  bed.cloud.refuse = failure('denied')
  bed.require(one, two)
  await bed.until(() => bed.failureOf(two) !== undefined)
  assert.deepEqual(bed.unreachable, ['aws'])
  bed.cloud.refuse = undefined
  await bed.clock.untilArmed(2)
  bed.exchanges.retry(undefined)
  await bed.until(() => bed.idOf(one) === 'ASIA3')
  assert.equal(bed.idOf(two), undefined)
})
