import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { HealthSchema } from '#wire/proto'
import { openConditionBoard } from './conditions.ts'

const unreachable = {
  subject: 'service/a',
  type: 'UpstreamReachable',
  status: 'False',
  reason: 'UPSTREAM_UNREACHABLE',
  message: 'no answer',
} as const
const recovered = { ...unreachable, status: 'True', reason: 'Recovered', message: '' } as const

test('what several workers report is there once, until one of them sees that it is over', () => {
  const board = openConditionBoard()
  board.set('worker-0', unreachable)
  board.set('worker-1', unreachable)
  assert.deepEqual(board.all(), [unreachable])
  board.set('worker-0', recovered)
  assert.deepEqual(board.all(), [])
})

test('what a worker that has ended reported is over, what others did is not', () => {
  const board = openConditionBoard()
  const unverified = { ...unreachable, type: 'UpstreamVerified' }
  board.set('worker-0', unreachable)
  board.set('worker-1', unverified)
  board.replace('worker-0', [])
  assert.deepEqual(board.all(), [unverified])
})

test('a reporter that never ends is remembered up to a bound', () => {
  const board = openConditionBoard()
  for (let number = 0; number < 1_000; number++) {
    board.set('worker-0', { ...unreachable, subject: `service/${number}` })
  }
  assert.equal(board.all().length, 500)
  assert.equal(board.all().at(-1)?.subject, 'service/999')
})

test('whatever identities name, a report fits into the message that the server takes', () => {
  const board = openConditionBoard()
  const subject = (number: number) => `workloadidentity/${'n'.repeat(63)}/${'i'.repeat(249)}${number}`
  const conditions = Array.from({ length: 2_000 }, (_, number) => ({
    subject: subject(1_000 + number),
    type: 'NotCapturable',
    status: 'True' as const,
    reason: 'NoKernelFilter',
    message: `the kernel cannot filter by process:env:${'\u20ac'.repeat(5_000)}`,
  }))
  for (const reporter of ['one', 'two', 'three'])
    board.replace(
      reporter,
      conditions.map((condition) => ({ ...condition, type: reporter })),
    )
  const all = board.all()
  assert.equal(all.length, 1_000)
  const health = create(HealthSchema, { conditions: all.map((condition) => ({ ...condition })) })
  assert.ok(toBinary(HealthSchema, health).length < 4 * 1024 * 1024)
})
