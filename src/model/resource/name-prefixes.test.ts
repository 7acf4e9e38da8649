import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expectResource, namesakesOf, olderNamesakeOf, type IdentityProvider } from './index.ts'

function provider(name: string, method: object, metadata: object = {}): IdentityProvider {
  const { draft } = expectResource({
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'IdentityProvider',
    metadata: { name, namespace: 'riptides-system', creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
    spec: { name, ...method },
  })
  return draft as unknown as IdentityProvider
}

const oidc = (name: string, prefixes: object = {}, metadata: object = {}) =>
  provider(name, { oidc: { issuer: 'https://id.example', audiences: ['a'], ...prefixes } }, metadata)
const corp = oidc('corp')
const prefixesOf = (object: IdentityProvider) => namesakesOf(object, [corp, object]).map(({ by }) => by)

test('providers of which one could name users of the other are namesakes', () => {
  for (const usernamePrefix of ['', 'c', 'cor', 'corp', 'corp:', 'corp:admin']) {
    assert.deepEqual(prefixesOf(oidc('other', { usernamePrefix })), ['usernamePrefix'], usernamePrefix)
  }
  assert.deepEqual(prefixesOf(oidc('other', { groupsPrefix: 'corp:a' })), ['groupsPrefix'])
  const github = provider('hub', { github: { clientID: 'c', requiredOrgs: [{ name: 'o' }] } })
  assert.match(
    namesakesOf(github, [oidc('other', { usernamePrefix: 'hu' })])[0]!.message,
    /^IdentityProvider other has the usernamePrefix "hu", and this one "hub:": /,
  )
})

test('providers whose names differ from the beginning are not, nor is one that is acted on no more', () => {
  assert.deepEqual(prefixesOf(oidc('corporate')), [])
  assert.deepEqual(prefixesOf(oidc('other', { usernamePrefix: 'corp-', groupsPrefix: 'Corp:' })), [])
  assert.deepEqual(prefixesOf(provider('corp', { static: {} }, { namespace: 'other' })), [])
  const gone = oidc('other', { usernamePrefix: '' }, { deletionTimestamp: '2026-01-02T00:00:00Z' })
  assert.deepEqual(namesakesOf(corp, [corp, gone]), [])
  const only = oidc('only', { usernamePrefix: '', groupsPrefix: '' })
  assert.deepEqual(namesakesOf(only, [only]), [])
})

test('of namesakes the oldest keeps its names, and of the same second the first by name', () => {
  const older = oidc('z', { usernamePrefix: 'c' }, { creationTimestamp: '2025-12-31T23:59:59Z' })
  const same = oidc('a', { usernamePrefix: 'corp:a' })
  const all = [corp, older, same]
  assert.equal(olderNamesakeOf(older, all), undefined)
  assert.equal(olderNamesakeOf(corp, all)?.other, older)
  assert.equal(olderNamesakeOf(corp, [corp, same])?.other, same)
  assert.equal(olderNamesakeOf(same, [corp, same]), undefined)
})
