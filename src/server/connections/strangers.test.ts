import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { networkOf, openStrangers } from './index.ts'

const connection = (remoteAddress: string, remotePort: number) => {
  const events = new EventEmitter()
  const socket = { remoteAddress, remotePort, destroyed: false, once: events.once.bind(events) }
  const destroy = () => {
    socket.destroyed = true
    events.emit('close')
  }
  return Object.assign(socket, { destroy }) as unknown as Socket
}

test('a network is an address of IPv4, or 64 bits of IPv6', () => {
  const networks = {
    '203.0.113.7': '203.0.113.7',
    '::ffff:203.0.113.7': '203.0.113.7',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2',
    '2001:db8:1::6': '2001:db8:1:0',
    '::1': '0:0:0:0',
    'fe80::1%eth0': 'fe80:0:0:0',
  }
  for (const [remoteAddress, network] of Object.entries(networks))
    assert.equal(networkOf({ remoteAddress, remotePort: 1 }), network)
})

test('beyond the bound the network with the most loses its oldest; who is known or gone does not count', () => {
  const strangers = openStrangers(3)
  const other = connection('203.0.113.2', 1)
  const many = [1, 2, 3, 4, 5].map((port) => connection('2001:db8::1', port))
  strangers.enter(other)
  for (const socket of many.slice(0, 3)) strangers.enter(socket)
  const destroyed = () => [other, ...many].map((socket) => socket.destroyed)
  assert.deepEqual(destroyed(), [false, true, false, false, false, false])
  strangers.leave(many[1]!)
  strangers.enter(many[3]!)
  assert.deepEqual(destroyed(), [false, true, false, false, false, false])
  many[3]!.destroy()
  strangers.enter(many[4]!)
  assert.deepEqual(destroyed(), [false, true, false, false, true, false])
})

test('a port that is used again counts once', () => {
  const strangers = openStrangers(2)
  const [before, now, next] = [
    connection('203.0.113.2', 1),
    connection('203.0.113.2', 1),
    connection('::1', 1),
  ]
  strangers.enter(before)
  strangers.enter(now)
  before.destroy()
  strangers.enter(next)
  assert.ok(!now.destroyed && !next.destroyed)
  strangers.enter(connection('::2', 1))
  assert.ok(!now.destroyed && next.destroyed)
})
