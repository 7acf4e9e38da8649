import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Fault, isFault, toFault } from '#base/errors'
import { Secret } from '#base/secret'

test('a fault shows a remote caller the catalogue text unless its thrower chose another', () => {
  assert.equal(new Fault('STORE_CORRUPT', 'page 7 of /var/x is bad').publicText, 'the store is damaged')
  assert.equal(new Fault('STORE_CORRUPT', 'x', { publicText: 'sorry' }).publicText, 'sorry')
})

test('anything thrown becomes a fault that keeps its cause, and a fault stays itself', () => {
  const cause = new RangeError('deep')
  const fault = toFault(cause)
  assert.equal(fault.code, 'INTERNAL')
  assert.equal(fault.cause, cause)
  assert.equal(toFault(fault), fault)
  assert.ok(isFault(fault, 'INTERNAL'))
  assert.ok(!isFault(fault, 'TOKEN_INVALID'))
  assert.ok(!isFault(cause))
})

test('a secret shows itself to nobody who prints, joins, inspects or serialises it', () => {
  const secret = Secret.of('hunter2')
  const shown = [
    String(secret),
    ['', secret].join(''),
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
  ]
  for (const text of shown) assert.doesNotMatch(text, /hunter2|68756e746572|aHVudGVyMg/)
  assert.equal(secret.revealText(), 'hunter2')
})
