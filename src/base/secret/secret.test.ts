import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Secret } from './secret.ts'

test('a secret is in memory of its own, whatever it was made of', () => {
  const pooled = Buffer.from('key')
  for (const secret of [Secret.of('key'), Secret.of(pooled), Secret.of(new Uint8Array(pooled))]) {
    assert.equal(secret.revealText(), 'key')
    assert.equal(secret.reveal().buffer.byteLength, 3)
  }
  const copied = Secret.of(pooled)
  pooled.fill(0)
  assert.equal(copied.revealText(), 'key')
  assert.equal(Secret.of('').reveal().length, 0)
  assert.equal(Secret.of('clé').revealText(), 'clé')
})

test('no way of showing a secret shows it', () => {
  const secret = Secret.of('key')
  assert.deepEqual(
    [String(secret), JSON.stringify({ secret }), inspect({ secret })],
    ['[secret]', '{"secret":"[secret]"}', '{ secret: [secret] }'],
  )
})
