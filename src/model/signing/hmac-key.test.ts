import assert from 'node:assert/strict'
import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { HmacKey } from './hmac-key.ts'

test('a signature is what node:crypto makes of the same key and text, whatever came before', () => {
  for (const keyBytes of [1, 32, 63, 64]) {
    const key = createSecretKey(randomBytes(keyBytes))
    const hmac = new HmacKey(key)
    for (const length of [0, 5000, 1, 340, 341, 342, 150, 1023, 1024, 1025]) {
      for (const character of ['a', '\xe9', '\u20ac']) {
        const text = character.repeat(length)
        const expected = createHmac('sha256', key).update(text).digest('hex')
        assert.equal(hmac.sign(text), expected, `${length} of ${character}, key of ${keyBytes}`)
      }
    }
  }
})

test('a key longer than a block is a mistake of the caller, and no key shows itself', () => {
  assert.throws(() => new HmacKey(createSecretKey(randomBytes(65))), RangeError)
  assert.equal(
    inspect(new HmacKey(createSecretKey(Buffer.from('secret'))), { showHidden: true }).includes('secret'),
    false,
  )
})
