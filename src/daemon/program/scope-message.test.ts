import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deserialize, serialize } from 'node:v8'
import { Secret } from '#base/secret'
import type { Credential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import type { ScopeUpdate } from '#model/scope'
import { fromScopeMessage, toScopeMessage, type ScopeMessage } from './scope-message.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')
const life = { issuedAt: 1, expiresAt: 2 }
const credentials: readonly Credential[] = [
  { kind: 'aws', accessKeyId: 'A', secretAccessKey: Secret.of('key'), sessionToken: Secret.of(''), ...life },
  { kind: 'bearer', token: Secret.of('token'), ...life },
  { kind: 'basic', username: 'app', password: Secret.of('pa:ss'), ...life },
  { kind: 'header', name: 'X-Api-Key', value: Secret.of('value'), ...life },
]

/** With the secrets laid open, as they compare by identity. */
function revealed(credential: Credential) {
  return Object.entries(credential).map(([key, value]: [string, unknown]) => [
    key,
    value instanceof Secret ? value.revealText() : value,
  ])
}

test('a change of the scope comes out of the channel as it went in', () => {
  const update: ScopeUpdate = {
    revision: 7,
    reset: true,
    upsert: {
      identities: [
        { name: 'app', spiffeId, selectors: [{ 'process:uid': ['1'] }], captureAll: false, intercept: true },
      ],
      services: [{ name: 's3', addresses: [{ host: 's3.example.com', port: 443 }], allowPlainText: true }],
      bindings: [],
      credentials: credentials.map((credential) => ({ spiffeId, sourceName: credential.kind, credential })),
    },
    remove: { identities: ['old'], services: [], bindings: [], credentials: [] },
  }
  // As the channel writes and reads it.
  const arrived = fromScopeMessage(deserialize(serialize(toScopeMessage(update))) as ScopeMessage)
  const { credentials: granted, ...rest } = arrived.upsert
  const { credentials: _, ...sent } = update.upsert
  assert.deepEqual({ ...arrived, upsert: rest }, { ...update, upsert: sent })
  assert.deepEqual(
    granted.map(({ credential }) => revealed(credential)),
    credentials.map(revealed),
  )
  assert.deepEqual(
    granted.map(({ sourceName }) => sourceName),
    ['aws', 'bearer', 'basic', 'header'],
  )
})
