import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openHandshakes } from './handshakes.ts'

/** A listener with room for two handshakes, and clients of it; of all time this share is idle. */
async function openPlace({ idle = 1 } = {}) {
  await using stack = new AsyncDisposableStack()
  const clock = openTestClock()
  const begun: Socket[] = []
  const entered: Socket[] = []
  const handshakes = openHandshakes({
    begin: (socket) => void begun.push(socket),
    clock,
    atOnce: 2,
    idleMs: () => clock.monotonic() * idle,
  })
  const listener = createServer({ pauseOnConnect: true }, (socket) => {
    entered.push(socket)
    handshakes.enter(socket)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  stack.defer(async () => {
    const closed = once(listener, 'close')
    listener.close()
    for (const socket of entered) socket.destroy()
    await closed
  })
  const kept = stack.move()
  return {
    clock,
    begun,
    handshakes,
    async arrive(localAddress = '127.0.0.1'): Promise<Socket> {
      const entered = once(listener, 'connection')
      const client = connect({ port, host: '127.0.0.1', localAddress })
      client.on('error', () => {})
      await entered
      return client
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

test('so many handshakes go on at a time, and the others begin in turn as these end', async () => {
  await using place = await openPlace()
  const { begun, handshakes } = place
  const clients: Socket[] = []
  for (let count = 0; count < 4; count++) clients.push(await place.arrive())
  const ports = () => begun.map(({ remotePort }) => remotePort)
  assert.deepEqual(
    ports(),
    clients.slice(0, 2).map(({ localPort }) => localPort),
  )
  handshakes.end(begun[1]!)
  handshakes.end(begun[1]!)
  assert.equal(begun.length, 3)
  const [first] = begun
  first!.destroy()
  await once(first!, 'close')
  assert.deepEqual(
    ports(),
    clients.map(({ localPort }) => localPort),
  )
})

test('whoever stalls keeps others waiting for a quarter of a second', async () => {
  await using place = await openPlace()
  for (let count = 0; count < 3; count++) await place.arrive()
  await place.clock.advance(249)
  assert.equal(place.begun.length, 2)
  await place.clock.advance(1)
  assert.equal(place.begun.length, 3)
})

test('whoever waits for this server does not stall', async () => {
  for (const [idle, endsAfterMs] of [
    [0.5, 500],
    [0, 1000],
  ] as const) {
    await using place = await openPlace({ idle })
    for (let count = 0; count < 3; count++) await place.arrive()
    await place.clock.advance(endsAfterMs - 1)
    assert.equal(place.begun.length, 2)
    await place.clock.advance(1)
    assert.equal(place.begun.length, 3)
  }
})

test('nothing is begun for whoever waited so long that it has given up', async () => {
  await using place = await openPlace()
  const { clock, begun } = place
  // Each turn of stalled handshakes lasts a quarter of a second: the last of these would have its own after six.
  const clients: Socket[] = []
  for (let count = 0; count < 52; count++) clients.push(await place.arrive())
  const last = clients.at(-1)!
  const ended = once(last.resume(), 'close')
  for (let turn = 0; turn < 26; turn++) await clock.advance(250)
  await ended
  assert.ok(begun.length > 40 && begun.every(({ remotePort }) => remotePort !== last.localPort))
})

test('networks take turns: one that opens many connections keeps its own waiting', async () => {
  await using place = await openPlace()
  const clients: Socket[] = []
  for (let count = 0; count < 5; count++) clients.push(await place.arrive())
  for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.2']) clients.push(await place.arrive(address))
  for (let turn = 0; turn < 3; turn++) await place.clock.advance(250)
  const begun = place.begun.map(({ remotePort }) => clients.findIndex((one) => one.localPort === remotePort))
  assert.deepEqual(begun, [0, 1, 2, 5, 6, 3, 7, 4])
})
