import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { openTurns } from './turns.ts'

/** Asks under `key`; each that has begun ends when it is told to. */
function openAsks(bounds: { atOnce: number; maxWaiting: number }) {
  const inTurn = openTurns<number>(bounds)
  const begun: string[] = []
  const ends: PromiseWithResolvers<void>[] = []
  return {
    begun,
    ask: (key: number, name: string) =>
      inTurn(key, async () => {
        begun.push(name)
        const end = Promise.withResolvers<void>()
        ends.push(end)
        await end.promise
        return name
      }),
    endFirst: async (error?: Error) => {
      await new Promise((resolve) => setImmediate(resolve))
      if (error) ends.shift()!.reject(error)
      else ends.shift()!.resolve()
    },
  }
}

test('who asks for much, or for what takes long, waits for himself alone', async () => {
  const { ask, begun, endFirst } = openAsks({ atOnce: 2, maxWaiting: 9 })
  const asks = [ask(1, 'a'), ask(1, 'b'), ask(1, 'c'), ask(1, 'd'), ask(2, 'x'), ask(3, 'y')]
  assert.deepEqual(begun, ['a', 'b', 'x', 'y'])
  for (let round = 0; round < 6; round++) await endFirst()
  assert.deepEqual(await Promise.all(asks), ['a', 'b', 'c', 'd', 'x', 'y'])
  assert.deepEqual(begun, ['a', 'b', 'x', 'y', 'c', 'd'])
})

test('one that fails gives its place to the next', async () => {
  const { ask, begun, endFirst } = openAsks({ atOnce: 1, maxWaiting: 9 })
  const failed = assert.rejects(ask(1, 'a'), /unreadable/)
  const next = ask(1, 'b')
  await endFirst(new Error('unreadable'))
  await failed
  await endFirst()
  assert.equal(await next, 'b')
  assert.deepEqual(begun, ['a', 'b'])
})

test('beyond the bound of one key its own are refused, and only they', async () => {
  const { ask, endFirst } = openAsks({ atOnce: 1, maxWaiting: 1 })
  const asks = [ask(1, 'a'), ask(1, 'b')]
  await assert.rejects(ask(1, 'c'), (error) => isFault(error, 'BUFFERS_EXHAUSTED'))
  asks.push(ask(2, 'x'))
  for (let round = 0; round < 3; round++) await endFirst()
  assert.deepEqual(await Promise.all(asks), ['a', 'b', 'x'])
})
