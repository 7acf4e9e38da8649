import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { resolveSettings, type SettingSpec } from '#base/settings'
import { checkSettings, serverSettings } from './index.ts'

const resolve = (flags: Readonly<Record<string, unknown>>) => resolveSettings(serverSettings, { flags })
const invalid = (error: unknown) => isFault(error, 'SETTING_INVALID')

test('everything listens on loopback unless told otherwise', () => {
  const { listen, nodeListen, healthListen } = resolve({})
  assert.deepEqual(
    [listen, nodeListen, healthListen],
    [
      { host: '127.0.0.1', port: 8443 },
      { host: '127.0.0.1', port: 9443 },
      { host: '127.0.0.1', port: 8080 },
    ],
  )
})

test('values are parsed, and those that make no sense are refused', () => {
  assert.deepEqual(resolve({ listen: '[::1]:0' }).listen, { host: '::1', port: 0 })
  assert.equal(resolve({ publicUrl: 'https://id.example/' }).publicUrl, 'https://id.example')
  assert.deepEqual(resolve({ connectTo: ['STS.amazonaws.com:443=127.0.0.1:9'] }).connectTo, [
    { host: 'sts.amazonaws.com', port: 443, address: '127.0.0.1', addressPort: 9 },
  ])
  for (const flags of [
    { listen: '8443' },
    { listen: '127.0.0.1:70000' },
    { publicUrl: 'http://id.example' },
    { publicUrl: 'https://id.example/?x' },
    { trustDomain: 'Example' },
    { connectTo: 'a:1' },
    { weakIdentities: 'maybe' },
    { offlineLeaseSeconds: 1 },
    { svidTtlSeconds: 299 },
    { adminContext: '' },
  ]) {
    assert.throws(() => resolve(flags), invalid, JSON.stringify(flags))
  }
})

test('exchanges are redirected only where every listener is on loopback', () => {
  const connectTo = ['sts.amazonaws.com:443=127.0.0.1:9']
  checkSettings(resolve({ connectTo }))
  for (const listener of ['listen', 'nodeListen', 'healthListen']) {
    assert.throws(() => checkSettings(resolve({ connectTo, [listener]: '0.0.0.0:1' })), invalid)
  }
})

test('certificate and key come together', () => {
  checkSettings(resolve({ tlsCert: 'a', tlsKey: 'b' }))
  assert.throws(() => checkSettings(resolve({ tlsCert: 'a' })), invalid)
  assert.throws(() => checkSettings(resolve({ tlsKey: 'b' })), invalid)
})

test('every setting explains itself', () => {
  const specs: Record<string, SettingSpec<unknown>> = serverSettings
  for (const [key, { help = '', placeholder, default: fallback }] of Object.entries(specs)) {
    assert.ok(help.length > 15, key)
    assert.equal(placeholder === undefined, typeof fallback === 'boolean', key)
  }
})
