import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { listenPlain } from './fixture.ts'
import { Link } from './link.ts'
import { Turn } from './turn.ts'

async function openPair() {
  const stack = new AsyncDisposableStack()
  const listener = stack.use(await listenPlain(() => {}))
  const socket = connect({ host: '127.0.0.1', port: listener.port, allowHalfOpen: true })
  await once(socket, 'connect')
  while (listener.sockets.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const link = stack.adopt(new Link(socket), (made) => made.destroy())
  return { link, peer: listener.sockets[0]!, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('bytes that came while nobody waited are not waited for', async () => {
  await using pair = await openPair()
  const { link, peer } = pair
  const came = once(link.socket, 'data')
  peer.end('the last bytes')
  await came
  assert.equal(await link.fill(0), true)
  assert.equal(await link.fill(), false)
  assert.equal(link.take(link.held.length).toString(), 'the last bytes')
  assert.equal(await link.fill(0), false)
})

test('a sender is held back while its bytes are not taken', async () => {
  await using pair = await openPair()
  const { link, peer } = pair
  const total = 32 * 1024 * 1024
  peer.write(Buffer.alloc(total))
  while (!link.socket.isPaused()) await link.fill()
  assert(link.held.length < 1024 * 1024)
  let taken = 0
  while (taken < total) {
    taken += link.take(link.held.length).length
    if (taken < total) await link.fill(0)
  }
  assert.equal(link.received, total)
})

test('a writer waits for a reader that is slow, and no longer than the connection lasts', async () => {
  await using pair = await openPair()
  const { link, peer } = pair
  peer.pause()
  const waiting = link.write(Buffer.alloc(64 * 1024 * 1024))
  assert(waiting)
  peer.destroy()
  await waiting
  assert(link.closed)
  assert.equal(link.write(Buffer.from('more')), undefined)
})

test('what nobody asked for is announced', async () => {
  await using pair = await openPair()
  const { link, peer } = pair
  const announced = new Promise<void>((resolve) => (link.onUnasked = resolve))
  peer.write('unasked')
  await announced
  assert.equal(link.held.toString(), 'unasked')
})

test('large pieces stay apart until they are asked for in one, small ones are joined', async () => {
  await using pair = await openPair()
  const { link } = pair
  const large = Buffer.alloc(16 * 1024, 'l')
  for (const bytes of ['a', 'b', large, 'c', 'd']) link.socket.emit('data', Buffer.from(bytes))
  assert.equal(link.take(1).toString(), 'a')
  assert.equal(link.piece.toString(), 'b')
  assert.equal(link.take(1 + large.length + 1).toString(), `b${large.toString()}c`)
  assert.equal(link.held.toString(), 'd')
  assert.equal(link.take(1).toString(), 'd')
  assert.equal(link.take(0).length, 0)
  assert.equal(link.held.length, 0)
  const dripped = Buffer.alloc(20_000, 'x')
  for (const byte of dripped) link.socket.emit('data', Buffer.of(byte))
  assert.equal(link.piece.length, 16 * 1024)
  assert.deepEqual(link.take(dripped.length), dripped)
})

test('those who wait for the same turn are told together, once all there is has been read', async () => {
  await using one = await openPair()
  await using other = await openPair()
  const turn = new Turn()
  const told: string[] = []
  const waiting = [one, other].map(async ({ link }, index) => {
    assert.equal(await link.fill(0, turn), true)
    told.push(`${index}: ${link.held.toString()}`)
  })
  one.link.socket.emit('data', Buffer.from('a'))
  await Promise.resolve()
  other.link.socket.emit('data', Buffer.from('b'))
  one.link.socket.emit('data', Buffer.from('c'))
  await new Promise((resolve) => process.nextTick(resolve))
  assert.deepEqual(told, [])
  await Promise.all(waiting)
  assert.deepEqual(told, ['0: ac', '1: b'])
})

test('an end is told at once, with what came before it', async () => {
  await using pair = await openPair()
  const { link } = pair
  const waiting = link.fill(0, new Turn())
  link.socket.emit('data', Buffer.from('the last'))
  link.socket.emit('end')
  assert.equal(await waiting, true)
  assert.equal(link.take(link.held.length).toString(), 'the last')
  assert.equal(await link.fill(0, new Turn()), false)
})

test('a turn that comes late announces nothing and wakes nobody twice', async () => {
  await using pair = await openPair()
  const { link } = pair
  let isAnnounced = false
  const waiting = link.fill(0, new Turn())
  link.socket.emit('data', Buffer.from('x'))
  link.wake()
  assert.equal(await waiting, true)
  link.take(1)
  link.onUnasked = () => (isAnnounced = true)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isAnnounced, false)
  const next = link.fill(0)
  link.wake()
  assert.equal(await Promise.race([next, Promise.resolve('waits on')]), 'waits on')
  link.socket.emit('data', Buffer.from('z'))
  assert.equal(await next, true)
  link.take(1)
  // SECURITY: at once, before anybody takes the link in his own turn and has this for the answer to his request.
  link.socket.emit('data', Buffer.from('y'))
  assert.equal(isAnnounced, true)
})
