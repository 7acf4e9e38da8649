import assert from 'node:assert/strict'
import { test } from 'node:test'
import { untilVerified } from './bpf.ts'

const EAGAIN = 11

test('a program is loaded again when a signal interrupted its verification, but not for ever', () => {
  let loads = 0
  assert.deepEqual(
    untilVerified(() => ({ result: ++loads < 4 ? -EAGAIN : 7 })),
    { result: 7 },
  )
  assert.equal(loads, 4)
  assert.deepEqual(
    untilVerified(() => ({ result: -EAGAIN })),
    { result: -EAGAIN },
  )
  const EPERM = 1
  loads = 0
  assert.equal(untilVerified(() => ({ result: loads++ === 0 ? -EPERM : 7 })).result, -EPERM)
})
