import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { Secret } from '#base/secret'
import type { Credential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import {
  applyScopeUpdate,
  credentialKey,
  type Scope,
  type ScopedCredential,
  type ScopedService,
} from '#model/scope'
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
  return decodeScopeUpdate(fromBinary(ScopeUpdateSchema, toBinary(ScopeUpdateSchema, update)))
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
    travelled(credentials).update.upsert.credentials.map(({ credential }) => revealed(credential)),
    credentials.map(revealed),
  )
})

test('what could not be sent safely, and what is not known, counts as removed, and is not quoted', () => {
  const unsafe: readonly Credential[] = [
    { kind: 'bearer', token: Secret.of('token\r\nHost: other'), ...life },
    { kind: 'bearer', token: Secret.of(''), ...life },
    { kind: 'basic', username: 'a:b', password: Secret.of('p'), ...life },
    { kind: 'header', name: 'Host', value: Secret.of('other'), ...life },
    { kind: 'header', name: 'Transfer-Encoding', value: Secret.of('chunked'), ...life },
    { kind: 'header', name: 'a b', value: Secret.of('v'), ...life },
    { kind: 'header', name: 'X-Api-Key', value: Secret.of(' v'), ...life },
  ]
  const why = 'it cannot be sent in a request'
  for (const each of unsafe) {
    const { update, unread } = travelled([each])
    const key = credentialKey(spiffeId, each.kind)
    assert.deepEqual([update.upsert.credentials, update.remove.credentials], [[], [key]])
    assert.deepEqual(unread, [{ kind: 'credentials', key, why }])
  }
  const unknown = create(ScopeUpdateSchema, { credentials: [{ spiffeId, sourceName: 'new' }] })
  const { update, unread } = decodeScopeUpdate(unknown)
  assert.deepEqual(update.upsert.credentials, [])
  assert.deepEqual(unread, [
    { kind: 'credentials', key: credentialKey(spiffeId, 'new'), why: 'unknown kind of credential' },
  ])
})

const keys = ['a', 'b', 'c'] as const
const items = fc.array(fc.record({ key: fc.constantFrom(...keys), readable: fc.boolean() }), { maxLength: 4 })
const ofEach = <T>(each: fc.Arbitrary<T>) =>
  fc.record({ identities: each, services: each, bindings: each, credentials: each })
const keyOf = (kind: keyof Scope, key: string) =>
  kind === 'credentials' ? credentialKey(spiffeId, key) : key

/** Everything in an earlier version, which differs from the later one in one field. */
const before: Scope = {
  identities: new Map(
    keys.map((name) => [name, { name, spiffeId, selectors: [], captureAll: false, intercept: false }]),
  ),
  services: new Map(keys.map((name) => [name, { name, addresses: [] }])),
  bindings: new Map(
    keys.map((name) => {
      const rest = { sourceName: 'a', serviceNames: [], minimumCapture: 'user' } as const
      return [name, { name, spiffeId, ...rest, allowCredentialIssuance: false }]
    }),
  ),
  credentials: new Map(
    keys.map((sourceName): [string, ScopedCredential] => {
      const credential = { kind: 'bearer', token: Secret.of('t'), issuedAt: 0, expiresAt: 9 } as const
      return [keyOf('credentials', sourceName), { spiffeId, sourceName, credential }]
    }),
  ),
}

/** Which items there are, and whether of the earlier version or the later. */
const versions = ({ identities, services, bindings, credentials }: Scope) => ({
  identities: new Map([...identities].map(([key, { captureAll }]) => [key, captureAll])),
  services: new Map([...services].map(([key, { allowPlainText = false }]) => [key, allowPlainText])),
  bindings: new Map([...bindings].map(([key, binding]) => [key, binding.allowCredentialIssuance])),
  credentials: new Map([...credentials].map(([key, { credential }]) => [key, credential.issuedAt > 0])),
})

test('whatever cannot be read, the rest of an update takes effect, and nothing of before stays in its place', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      ofEach(items),
      ofEach(fc.uniqueArray(fc.constantFrom(...keys))),
      (reset, sent, removed) => {
        const message = create(ScopeUpdateSchema, {
          reset,
          identities: sent.identities.map(({ key, readable }) => ({
            name: key,
            spiffeId: readable ? spiffeId : 'spiffe:app',
            captureAll: true,
          })),
          services: sent.services.map(({ key, readable }) => ({
            name: key,
            addresses: [{ host: 'a.example.com', port: readable ? 443 : 65_536 }],
            allowPlainText: true,
          })),
          bindings: sent.bindings.map(({ key, readable }) => ({
            name: key,
            spiffeId,
            minimumCapture: readable ? 'user' : 'enclave',
            allowCredentialIssuance: true,
          })),
          credentials: sent.credentials.map(({ key, readable }) => ({
            spiffeId,
            sourceName: key,
            issuedAtEpochMs: 1n,
            ...(readable && { credential: { case: 'bearer' as const, value: { token: Buffer.from('t') } } }),
          })),
          removedIdentities: removed.identities,
          removedServices: removed.services,
          removedBindings: removed.bindings,
          removedCredentials: removed.credentials.map((key) => keyOf('credentials', key)),
        })
        const { update, unread } = decodeScopeUpdate(message)
        const after = versions(applyScopeUpdate(before, update))
        for (const kind of ['identities', 'services', 'bindings', 'credentials'] as const) {
          const unreadable = sent[kind].filter(({ readable }) => !readable).map(({ key }) => key)
          const told = unread.filter((item) => item.kind === kind).map(({ key }) => key)
          assert.deepEqual(
            told,
            unreadable.map((key) => keyOf(kind, key)),
          )
          for (const key of keys) {
            const isGone = unreadable.includes(key) || removed[kind].includes(key)
            const isSent = sent[kind].some((item) => item.key === key)
            const expected = isGone || (reset && !isSent) ? undefined : isSent
            assert.equal(after[kind].get(keyOf(kind, key)), expected, `${kind} ${key}`)
          }
        }
      },
    ),
  )
})

test('a Service says whether plain text is allowed, and by default it is not', () => {
  const services: readonly ScopedService[] = [
    { name: 'a', addresses: [{ host: 'a.example.com' }] },
    { name: 'b', addresses: [{ host: 'b.example.com', port: 80 }], allowPlainText: true },
  ]
  assert.deepEqual(travelled([], services).update.upsert.services, services)
})
