import assert from 'node:assert/strict'
import { SocketAddress } from 'node:net'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { addressBytes, readAddress, writeAddress } from './address.ts'

function bytesOf(text: string): string {
  const bytes = Buffer.alloc(addressBytes + 2, 0xee)
  writeAddress(text, bytes, 1)
  assert.equal(bytes[0], 0xee)
  assert.equal(bytes.at(-1), 0xee)
  return bytes.toString('hex', 1, 1 + addressBytes)
}

describe('addresses in kernel maps', () => {
  it('are IPv6, or IPv4-mapped', () => {
    const mapped = '00000000000000000000ffff7f000001'
    assert.equal(bytesOf('127.0.0.1'), mapped)
    assert.equal(bytesOf('::ffff:127.0.0.1'), mapped)
    assert.equal(bytesOf('255.254.253.9'), '00000000000000000000fffffffefd09')
    assert.equal(bytesOf('::1'), '00000000000000000000000000000001')
    assert.equal(bytesOf('::'), '0'.repeat(32))
    assert.equal(bytesOf('2001:db8::7:0'), '20010db8000000000000000000070000')
    assert.equal(bytesOf('fe80::1%eth0'), 'fe800000000000000000000000000001')
    assert.equal(bytesOf('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008')
    assert.equal(bytesOf('1:2:3:4:5:6:7::'), '00010002000300040005000600070000')
  })

  it('are read as IPv4 when mapped, and as RFC 5952 has it otherwise', () => {
    const text = (hex: string) => readAddress(Buffer.from(hex, 'hex'), 0)
    assert.equal(text('00000000000000000000ffff0a630002'), '10.99.0.2')
    assert.equal(text('20010db8000000000000000000000007'), '2001:db8::7')
    assert.equal(text('0'.repeat(32)), '::')
  })

  it('survive writing and reading as Node prints them', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const family = text.includes(':') ? 'ipv6' : 'ipv4'
        const printed = new SocketAddress({ address: text, family }).address
        const bytes = Buffer.alloc(addressBytes)
        writeAddress(printed, bytes, 0)
        assert.equal(readAddress(bytes, 0), printed.replace(/^::ffff:(?=\d+\.)/, ''))
      }),
    )
  })
})
