import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { hostName, isDnsName, isIpAddress } from './names.ts'

describe('names in certificates', () => {
  it('tells addresses from names as node:net does', () => {
    const hosts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.string({ maxLength: 20 }))
    fc.assert(fc.property(hosts, (host) => assert.equal(isIpAddress(host), isIP(host) !== 0)))
  })

  it('writes every spelling of an IPv6 address alike', () => {
    for (const host of ['::ffff:10.0.0.1', '0:0:0:0:0:FFFF:0a00:0001']) {
      assert.deepEqual(hostName(host), { type: 'ip', value: '::ffff:a00:1' })
    }
  })

  it('lowers the case of DNS names and refuses what is none', () => {
    assert.deepEqual(hostName('S3.Amazonaws.COM'), { type: 'dns', value: 's3.amazonaws.com' })
    for (const host of [
      '',
      '.',
      'a..b',
      'a b',
      '*.a',
      'a.',
      '-a.b',
      'a'.repeat(64),
      '10.0.0.256',
      'a\0b',
      'a,DNS:b',
    ]) {
      assert.throws(() => hostName(host), TypeError, host)
      assert.equal(isDnsName(host) && isIpAddress(host), false)
    }
  })
})
