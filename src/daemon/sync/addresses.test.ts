import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { TLSSocket } from 'node:tls'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openAddresses } from './addresses.ts'

test('addresses come in another order each time, the one that hung at the end', () => {
  const numbers = [0.1, 0.2, 0.3, 0.9, 0.5, 0.1]
  const addresses = openAddresses({
    resolve: (_name, _options, callback) => {
      const found = ['a', 'b', 'c'].map((address) => ({ address, family: 4 }))
      callback(null, found)
    },
    clock: openTestClock(),
    random: () => numbers.shift() ?? 0,
  })
  const order = () => {
    let order = ''
    addresses.lookup('servers.example.org', { all: true }, (_error, found) => {
      order = (found as LookupAddress[]).map(({ address }) => address).join('')
    })
    return order
  }
  assert.deepEqual([order(), order()], ['abc', 'cba'])
  addresses.hangs({ remoteAddress: 'a' } as TLSSocket)
  assert.equal(order(), 'bca')
})
