import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Gathering } from './index.ts'

test('what comes in parts of any size is joined as it came', () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 60 })
  fc.assert(
    fc.property(parts, fc.nat(60), (bytes, looked) => {
      const gathering = new Gathering()
      for (const [index, part] of bytes.entries()) {
        if (index === looked) Buffer.concat(gathering.pieces)
        gathering.push(Buffer.from(part))
      }
      const whole = Buffer.concat(bytes)
      assert.deepEqual(Buffer.concat(gathering.pieces), whole)
      assert.deepEqual(gathering.joined, whole)
      assert.equal(gathering.length, whole.length)
    }),
  )
})

test('a body of one part is not copied', () => {
  const gathering = new Gathering()
  const part = Buffer.from('small')
  gathering.push(part)
  assert.equal(gathering.joined, part)
})

test('parts of a byte lie in few pieces', () => {
  const gathering = new Gathering()
  for (let count = 0; count < 100_000; count += 1) gathering.push(Buffer.from('x'))
  assert.ok(gathering.pieces.length < 10, `${gathering.pieces.length} pieces`)
})
