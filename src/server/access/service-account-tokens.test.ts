import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { ServiceAccount } from '#model/resource'
import type { Resources } from '#server/store'
import { openServiceAccountTokens } from './service-account-tokens.ts'

test('a token that one server gives is good at once at another whose clock is behind', async () => {
  const metadata = { name: 'robot', namespace: 'riptides-system', uid: 'u' }
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata } as ServiceAccount
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = { active: async () => ({ kid: 'a', privateKey }), publicKey: () => publicKey }
  const resources = { get: async () => account } as unknown as Resources
  const start = Date.UTC(2026, 0, 1)
  const open = (at: number) => openServiceAccountTokens({ keys, resources, clock: openTestClock(at) })
  const { token } = await open(start).mint(account, { audiences: ['tideway'], expirationSeconds: 600 })
  // A second is what servers that share a source of time differ by when the second changes in between.
  for (const behind of [1, 1_000, 60_000]) {
    const principal = await open(start - behind).authenticate(token)
    assert.equal(principal?.name, 'system:serviceaccount:riptides-system:robot', `${behind} ms behind`)
  }
  await assert.rejects(open(start - 61_000).authenticate(token), /nbf/)
  await assert.rejects(open(start + 600_000).authenticate(token), /exp/)
})
