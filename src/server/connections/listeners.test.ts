import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openListeners } from './index.ts'

const host = '127.0.0.1'

async function openPlace({ max = 1000, port = 0 } = {}) {
  const accepted: Socket[] = []
  const listeners = await openListeners(
    { host, port },
    { max, accept: (socket) => void accepted.push(socket) },
  )
  const clients: Socket[] = []
  return {
    accepted,
    port: listeners.port,
    /** In the kernel: nothing is accepted before the next turn. */
    arrive(count: number) {
      for (let index = 0; index < count; index++) {
        clients.push(connect({ host, port: listeners.port }).on('error', () => {}))
      }
    },
    clients,
    async [Symbol.asyncDispose]() {
      for (const socket of [...clients, ...accepted]) socket.destroy()
      await listeners[Symbol.asyncDispose]()
    },
  }
}

test('many connections are accepted in few turns of the event loop', async () => {
  await using place = await openPlace()
  place.arrive(200)
  let turns = 0
  for (; place.accepted.length < 200; turns++) await nextTurn()
  // With one listening socket each would have a turn of its own.
  assert.ok(turns < 150, `${turns} turns`)
})

test('so many are taken at a time, and others when these have gone', async () => {
  await using place = await openPlace({ max: 2 })
  place.arrive(3)
  await Promise.race(place.clients.map((client) => once(client.resume(), 'close')))
  assert.equal(place.accepted.length, 2)
  place.accepted[0]!.destroy()
  await once(place.accepted[0]!, 'close')
  place.arrive(1)
  while (place.accepted.length < 3) await nextTurn()
})

test('nothing is begun for whoever has gone before it was accepted', async () => {
  await using place = await openPlace()
  place.arrive(200)
  for (const client of place.clients) client.once('connect', () => client.resetAndDestroy())
  // Each socket has some twelve of them to accept.
  for (let turns = 0; turns < 100; turns++) await nextTurn()
  assert.ok(place.accepted.every(({ remoteAddress }) => remoteAddress === host))
  assert.ok(place.accepted.length < 100, `${place.accepted.length} accepted`)
})

test('a port that another has is not shared with it, nor one that is shared already', async () => {
  const other = createServer().listen({ host, port: 0, reusePort: true })
  await once(other, 'listening')
  await assert.rejects(openPlace({ port: (other.address() as AddressInfo).port }), { code: 'EADDRINUSE' })
  other.close()
  await using place = await openPlace()
  await assert.rejects(openPlace({ port: place.port }), { code: 'EADDRINUSE' })
})

test('closed together: nobody is accepted any more, whoever was is cut, and the port is free', async () => {
  const accepted: Socket[] = []
  const accept = (socket: Socket) => void accepted.push(socket)
  const listeners = await openListeners({ host, port: 0 }, { max: 10, accept })
  const client = connect({ host, port: listeners.port }).on('error', () => {})
  while (accepted.length < 1) await nextTurn()
  await Promise.all([once(client.resume(), 'close'), listeners[Symbol.asyncDispose]()])
  await using next = await openPlace({ port: listeners.port })
  assert.equal(next.port, listeners.port)
})
