import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Secret } from '#base/secret'
import { openMemoryStore, type Store } from '#server/store'
import { adminTokens, ensureAdminToken } from './index.ts'

const make = (
  store: Store,
  self: string,
  deliver: (token: Secret) => void | Promise<void>,
  live: readonly string[] = ['one', 'other'],
) => {
  const claimants = { self, isLive: (server: string) => live.includes(server) }
  return ensureAdminToken(store, { clock: openTestClock(), random: randomBytes, deliver, claimants })
}

test('of servers that start together one delivers a token, and it is the one that counts', async () => {
  await using store = openMemoryStore()
  const delivered: string[] = []
  const deliver = (token: Secret) => void delivered.push(token.revealText())
  const made = await Promise.all([make(store, 'one', deliver), make(store, 'other', deliver)])
  assert.deepEqual(made.sort(), [false, true])
  assert.equal(delivered.length, 1)
  assert.equal((await adminTokens(store).authenticate(delivered[0]!))?.name, 'system:admin')
})

test('a server that is still at it is left to it, and one that died over it is replaced', async () => {
  await using store = openMemoryStore()
  const delivering = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  const slow = make(store, 'one', () => {
    delivering.resolve()
    return finish.promise
  })
  await delivering.promise
  assert.equal(await make(store, 'other', () => assert.fail('two tokens')), false)
  assert.equal(await make(store, 'other', () => {}, ['other']), true)
  finish.resolve()
  await assert.rejects(slow, /made by another server meanwhile/)
})
