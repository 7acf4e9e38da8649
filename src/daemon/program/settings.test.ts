import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { resolveSettings } from '#base/settings'
import { daemonSettings } from './settings.ts'

const resolve = (flags: Record<string, unknown>) => resolveSettings(daemonSettings, { flags })

test('without any setting there is a daemon that keeps what it joined', () => {
  const settings = resolve({})
  assert.equal(settings.server, undefined)
  assert.equal(settings.capture, 'auto')
  assert.deepEqual(settings.proxyListen, { host: '127.0.0.1', port: 0 })
  assert.equal(settings.auditWhenFull, 'refuse')
})

test('overrides of destinations are read, from the command line and as one text', () => {
  const expected = [{ host: 's3.example.org', port: 443, address: '127.0.0.1', addressPort: 9000 }]
  assert.deepEqual(resolve({ connectTo: ['S3.example.org:443=127.0.0.1:9000'] }).connectTo, expected)
  assert.deepEqual(resolve({ connectTo: 's3.example.org:443=127.0.0.1:9000' }).connectTo, expected)
})

test('what is wrong is refused with the name of the setting', () => {
  const wrong: [string, unknown][] = [
    ['server', 'http://example.org'],
    ['server', 'https://example.org/path'],
    ['caHash', 'sha256:12'],
    ['proxyListen', '0.0.0.0:3128'],
    ['proxyListen', '127.0.0.1'],
    ['workers', '0'],
    ['capture', 'yes'],
    ['connectTo', 'a:1'],
    ['auditWhenFull', 'drop'],
  ]
  for (const [key, value] of wrong) {
    assert.throws(
      () => resolve({ [key]: value }),
      (error) => isFault(error, 'SETTING_INVALID') && error.message.includes(key),
      `${key} ${String(value)}`,
    )
  }
})

test('every setting has help, and no help holds a secret', () => {
  for (const [key, { help }] of Object.entries(daemonSettings)) assert.ok(help, key)
  assert.ok(!('joinToken' in daemonSettings))
})
