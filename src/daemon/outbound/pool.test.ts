import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { listenPlain } from './fixture.ts'
import { Link } from './link.ts'
import { Pool } from './pool.ts'

async function openLinks(count: number) {
  const stack = new AsyncDisposableStack()
  const listener = stack.use(await listenPlain(() => {}))
  const links: Link[] = []
  for (let made = 0; made < count; made += 1) {
    const accepted = listener.sockets.length
    const socket = connect({ host: '127.0.0.1', port: listener.port, allowHalfOpen: true })
    await once(socket, 'connect')
    while (listener.sockets.length === accepted) await new Promise((resolve) => setImmediate(resolve))
    links.push(stack.adopt(new Link(socket), (link) => link.destroy()))
  }
  return { links, peers: listener.sockets, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const wide = { maxTotal: 10, maxPerKey: 10 }

test('the connection used last comes back first, under its own key only', async () => {
  await using made = await openLinks(3)
  const [one, two, other] = made.links as [Link, Link, Link]
  const pool = new Pool<string>(wide)
  pool.give('a', one, '', 0)
  pool.give('a', two, '', 1)
  pool.give('b', other, '', 2)
  assert.equal(pool.take('a'), two)
  assert.equal(pool.take('a'), one)
  assert.equal(pool.take('a'), undefined)
  assert.equal(pool.take('b'), other)
})

test('an idle connection leaves when its upstream closes it, or says something unasked', async () => {
  await using made = await openLinks(2)
  const pool = new Pool<string>(wide)
  for (const link of made.links) pool.give('a', link, '', 0)
  const closed = made.links.map((link) => once(link.socket, 'close'))
  made.peers[0]!.end()
  made.peers[1]!.write('HTTP/1.1 408 Request Timeout\r\n\r\n')
  await Promise.all(closed)
  assert.equal(pool.size, 0)
})

test('a connection that has ended or still holds bytes is not kept', async () => {
  await using made = await openLinks(2)
  const [ended, full] = made.links as [Link, Link]
  made.peers[0]!.end()
  while (await ended.fill());
  made.peers[1]!.write('left over')
  await full.fill()
  const pool = new Pool<string>(wide)
  pool.give('a', ended, '', 0)
  pool.give('a', full, '', 0)
  assert.equal(pool.size, 0)
})

test('over a bound the connection idle longest is closed', async () => {
  await using made = await openLinks(5)
  const [a1, a2, a3, b1, b2] = made.links as [Link, Link, Link, Link, Link]
  const pool = new Pool<string>({ maxTotal: 3, maxPerKey: 2 })
  pool.give('a', a1, '', 0)
  pool.give('a', a2, '', 1)
  pool.give('a', a3, '', 2)
  assert(a1.socket.destroyed)
  pool.give('b', b1, '', 3)
  pool.give('b', b2, '', 4)
  assert(a2.socket.destroyed)
  assert.equal(pool.size, 3)
})

test('owners that no longer hold, and those idle too long, are closed', async () => {
  await using made = await openLinks(3)
  const [gone, old, young] = made.links as [Link, Link, Link]
  const pool = new Pool<string>(wide)
  pool.give('a', gone, 'gone', 0)
  pool.give('a', old, 'kept', 1)
  pool.give('a', young, 'kept', 5)
  pool.retain((owner) => owner === 'kept')
  assert(gone.socket.destroyed)
  pool.closeIdle(1)
  assert(old.socket.destroyed)
  assert.equal(pool.take('a'), young)
})
