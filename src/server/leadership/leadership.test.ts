import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { openTestClock, systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { openMemoryStore, type Store } from '#server/store'
import { openCandidate, testLeadership } from './contract.ts'
import { isInUse, openElection, openSoleLeadership } from './leadership.ts'

testLeadership('sole', async (context) => {
  const store = openMemoryStore()
  context.after(() => store[Symbol.asyncDispose]())
  return { store, leadership: openSoleLeadership(store) }
})
testLeadership('election', async (context) => {
  const store = openMemoryStore()
  context.after(() => store[Symbol.asyncDispose]())
  const options = { expectAble: async () => {}, clock: systemClock, log: silentLog }
  return { store, leadership: await openElection({ store, ...options }) }
})

/** A store that a test can take from a server, as if it hung. */
function openHanging(store: Store): { store: Store; hang(): void; wake(): void } {
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  return {
    hang: () => (gate = Promise.withResolvers()),
    wake: () => gate.resolve(),
    store: {
      ...store,
      list: async (...args) => {
        await gate.promise
        return await store.list(...args)
      },
      transaction: async (...args) => {
        await gate.promise
        return await store.transaction(...args)
      },
    },
  }
}

async function openServers(context: TestContext, count: number) {
  const shared = openMemoryStore()
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const hanging = openHanging(shared)
      const ability = { isThere: true, isKnown: true }
      const expectAble = async ({ byTrying }: { byTrying: boolean }) => {
        if (!ability.isThere && (ability.isKnown || byTrying)) throw new Error('no room')
      }
      const options = { expectAble, clock: systemClock, log: silentLog }
      const leadership = await openElection({ store: hanging.store, ...options })
      return { hanging, ability, candidate: await openCandidate(leadership) }
    }),
  )
  context.after(async () => {
    for (const { hanging, candidate } of servers) {
      hanging.wake()
      await candidate.stop()
    }
  })
  const first = () =>
    Promise.race(servers.map(async (server) => ({ server, term: await server.candidate.leads() })))
  return { shared, servers, first }
}

const put = { type: 'put', key: '/a', value: Buffer.from('1') } as const

test('of several servers one leads, and when it goes another does', async (context) => {
  const { servers, first } = await openServers(context, 3)
  const { server } = await first()
  assert.equal(servers.flatMap(({ candidate }) => candidate.terms).length, 1)
  await server.candidate.stop()
  const others = servers.filter((other) => other !== server)
  await Promise.race(others.map(({ candidate }) => candidate.leads()))
  assert.equal(others.flatMap(({ candidate }) => candidate.terms).length, 1)
})

test('a leader that hangs is replaced; when it wakes up it writes nothing and knows that it is no leader', async (context) => {
  const { shared, servers, first } = await openServers(context, 2)
  const { server, term } = await first()
  await shared.transaction([], [{ ...put, key: `/run/streams/x/${server.candidate.leadership.id}` }])
  server.hanging.hang()
  const late = term.store.transaction([], [put])
  const other = servers.find((candidate) => candidate !== server)!
  await other.candidate.leads()
  server.hanging.wake()
  await assert.rejects(late, { code: 'STORE_UNAVAILABLE', message: /another server leads/ })
  assert.equal(await shared.get('/a'), undefined)
  assert.equal(term.signal.aborted, true)
})

test('a leader whose store leaves it without an answer leads no more after two seconds, whoever else does', async (context) => {
  const { servers, first } = await openServers(context, 1)
  const { server, term } = await first()
  server.hanging.hang()
  const lost = new Promise((resolve) => term.signal.addEventListener('abort', () => resolve('lost')))
  assert.equal(await Promise.race([lost, systemClock.sleep(10_000, context)]), 'lost')
  server.hanging.wake()
  const next = await servers[0]!.candidate.leads()
  assert.ok((await next.store.transaction([], [put])).ok)
})

test('a leader that cannot do what it has to leaves the lead to one that can, and leads where none can', async (context) => {
  const { servers, first } = await openServers(context, 2)
  const { server, term } = await first()
  const other = servers.find((candidate) => candidate !== server)!
  server.ability.isThere = false
  const next = await other.candidate.leads()
  assert.equal(term.signal.aborted, true)
  assert.ok((await next.store.transaction([], [put])).ok)
  other.ability.isThere = false
  await systemClock.sleep(3_000, context)
  assert.deepEqual([next.signal.aborted, server.candidate.terms.length], [false, 1])
  await other.candidate.stop()
  assert.ok((await (await server.candidate.leads()).store.transaction([], [put])).ok)
})

test('a server that is to lead tries first whether it is able to', async (context) => {
  const { servers, first } = await openServers(context, 3)
  const { server } = await first()
  const [one, two] = servers.filter((candidate) => candidate !== server)
  one!.ability.isThere = false
  one!.ability.isKnown = false
  await server.candidate.stop()
  await two!.candidate.leads()
  assert.equal(one!.candidate.terms.length, 0)
})

test('a server whose disk does not answer joins the others, and leads where it is alone', async () => {
  await using store = openMemoryStore()
  const disk = Promise.withResolvers<void>()
  const options = { expectAble: () => disk.promise, clock: systemClock, log: silentLog }
  await using leadership = await openElection({ store, ...options })
  assert.equal(await leadership.isFirst(), true)
  disk.resolve()
})

test('what a server said of itself goes with it', async (context) => {
  const { shared, servers, first } = await openServers(context, 2)
  const { server: leading } = await first()
  const other = servers.find((candidate) => candidate !== leading)!
  const key = `/run/streams/daemon/${other.candidate.leadership.id}`
  await shared.transaction([], [{ ...put, key }])
  other.hanging.hang()
  for await (const events of shared.watch(key, { afterRevision: 0, signal: context.signal })) {
    if (events.some(({ type }) => type === 'delete')) break
  }
  assert.deepEqual(leading.candidate.leadership.members(), [leading.candidate.leadership.id])
})

test('a store is in use while a server gives signs of life, and not for what one that was killed has left', async () => {
  await using store = openMemoryStore()
  const clock = openTestClock()
  assert.equal(await isInUse(store, clock), false)
  const beat = () =>
    store.transaction([], [{ type: 'put', key: '/run/members/one', value: Buffer.from('one') }])
  for (const isAlive of [false, true]) {
    await beat()
    const found = isInUse(store, clock)
    await clock.untilArmed()
    if (isAlive) await beat()
    await clock.advance(3_000)
    assert.equal(await found, isAlive)
  }
})
