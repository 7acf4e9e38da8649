import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openDeadlines } from './deadlines.ts'

const key = fc.constantFrom('a', 'b', 'c')
const step = fc.oneof(
  fc.record({ do: fc.constant('set' as const), key, at: fc.oneof(fc.nat(20), fc.constant(Infinity)) }),
  fc.record({ do: fc.constant('delete' as const), key }),
  fc.record({ do: fc.constant('take' as const), at: fc.nat(20) }),
)

test('what is due is taken once, and nothing is due before the next moment', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const deadlines = openDeadlines<string>()
      const expected = new Map<string, number>()
      for (const one of steps) {
        if (one.do === 'set') {
          deadlines.set(one.key, one.at)
          expected.set(one.key, one.at)
        } else if (one.do === 'delete') {
          deadlines.delete(one.key)
          expected.delete(one.key)
        } else {
          const due = [...expected].filter(([, at]) => at <= one.at).map(([name]) => name)
          assert.deepEqual([...deadlines.take(one.at)].sort(), due.sort())
          for (const name of due) expected.delete(name)
          assert.ok(deadlines.next() > one.at)
        }
        for (const name of ['a', 'b', 'c']) assert.equal(deadlines.has(name), expected.has(name))
        assert.ok(deadlines.next() <= Math.min(Infinity, ...expected.values()))
      }
    }),
  )
})
