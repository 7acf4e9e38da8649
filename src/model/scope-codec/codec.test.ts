import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Secret } from '#base/secret'
import type { Credential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import type { ScopedService } from '#model/scope'
import { ScopeUpdateSchema } from '#wire/proto'
import { decodeScopeUpdate, encodeScopeUpdate } from './index.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')
const life = { issuedAt: 1_700_000_000_000, expiresAt: 1_700_000_900_000 }
const credentials: readonly Credential[] = [
  {
    kind: 'aws',
    accessKeyId: 'ASIA',
    secretAccessKey: Secret.of('key'),
    sessionToken: Secret.of('token'),
    ...life,
  },
  { kind: 'bearer', token: Secret.of('token'), ...life },
  { kind: 'basic', username: 'app', password: Secret.of('pa:ss\n'), ...life },
  { kind: 'header', name: 'X-Api-Key', value: Secret.of('value'), ...life },
]

function travelled(granted: readonly Credential[], services: readonly ScopedService[] = []) {
  const update = encodeScopeUpdate({
    revision: 7,
    reset: true,
    upsert: {
      identities: [],
      services,
      bindings: [],
      credentials: granted.map((credential) => ({ spiffeId, sourceName: credential.kind, credential })),
    },
    remove: { identities: [], services: [], bindings: [], credentials: [] },
  })
  return decodeScopeUpdate(fromBinary(ScopeUpdateSchema, toBinary(ScopeUpdateSchema, update))).upsert
}

/** With the secrets laid open, as they compare by identity. */
function revealed(credential: Credential): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(credential).map(([key, value]: [string, unknown]) => [
      key,
      value instanceof Secret ? value.revealText() : value,
    ]),
  )
}

test('credentials of every kind travel whole', () => {
  assert.deepEqual(
    travelled(credentials).credentials.map(({ credential }) => revealed(credential)),
    credentials.map(revealed),
  )
})

test('what could not be sent safely, and what is not known, is left out', () => {
  const unsafe: readonly Credential[] = [
    { kind: 'bearer', token: Secret.of('token\r\nHost: other'), ...life },
    { kind: 'bearer', token: Secret.of(''), ...life },
    { kind: 'basic', username: 'a:b', password: Secret.of('p'), ...life },
    { kind: 'header', name: 'Host', value: Secret.of('other'), ...life },
    { kind: 'header', name: 'Transfer-Encoding', value: Secret.of('chunked'), ...life },
    { kind: 'header', name: 'a b', value: Secret.of('v'), ...life },
    { kind: 'header', name: 'X-Api-Key', value: Secret.of(' v'), ...life },
  ]
  assert.deepEqual(travelled(unsafe).credentials, [])
  const unknown = create(ScopeUpdateSchema, { credentials: [{ spiffeId, sourceName: 'new' }] })
  assert.deepEqual(decodeScopeUpdate(unknown).upsert.credentials, [])
})

test('a Service says whether plain text is allowed, and by default it is not', () => {
  const services: readonly ScopedService[] = [
    { name: 'a', addresses: [{ host: 'a.example.com' }] },
    { name: 'b', addresses: [{ host: 'b.example.com', port: 80 }], allowPlainText: true },
  ]
  assert.deepEqual(travelled([], services).services, services)
})
