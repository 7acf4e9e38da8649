import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRounds } from './rounds.ts'

test('who asks while a round is under way is answered by the next, which began after', async () => {
  const rounds: { asks: readonly string[]; end: () => void }[] = []
  const ask = openRounds<number, string, string>(async (key, asks) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    rounds.push({ asks, end: resolve })
    await promise
    return asks.map((text) => `${key} ${text}`)
  })
  const first = ask(1, 'a')
  const others = [ask(1, 'b'), ask(1, 'c')]
  const elsewhere = ask(2, 'd')
  assert.deepEqual(
    rounds.map(({ asks }) => asks),
    [['a'], ['d']],
  )
  rounds[0]!.end()
  assert.equal(await first, '1 a')
  assert.deepEqual(rounds[2]!.asks, ['b', 'c'])
  for (const { end } of rounds) end()
  assert.deepEqual(await Promise.all([...others, elsewhere]), ['1 b', '1 c', '2 d'])
})

test('a round that fails is told to those who waited for it, and the next is run', async () => {
  let runs = 0
  const ask = openRounds<number, string, string>(async (_, asks) => {
    runs += 1
    if (runs === 1) throw new Error('unreadable')
    return asks
  })
  const [first, second] = [ask(1, 'a'), ask(1, 'b')]
  await assert.rejects(first, /unreadable/)
  assert.equal(await second, 'b')
})
