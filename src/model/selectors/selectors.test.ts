import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseSpiffeId } from '#model/identity'
import type { ScopedIdentity, SelectorMap } from '#model/scope'
import { chooseIdentity, explainMatch, matchIdentities, matchSelector } from './index.ts'

function identity(name: string, ...selectors: SelectorMap[]): ScopedIdentity {
  const spiffeId = parseSpiffeId(`spiffe://example.org/${name}`)
  return { name, spiffeId, selectors, captureAll: false, intercept: true }
}

const attributes = new Map([
  ['process:name', ['curl']],
  ['process:uid', ['1000']],
  ['process:binary:path', ['/usr/bin/curl']],
  ['process:cmdline', ['curl --silent https://example.org']],
  ['process:env:STAGE', ['prod']],
])

test('keys are ANDed and the values of one key are ORed', () => {
  assert.equal(matchSelector({ 'process:uid': ['7', '1000'] }, attributes).matched, true)
  assert.deepEqual(matchSelector({ 'process:uid': ['1000'], 'process:name': ['wget'] }, attributes), {
    matched: false,
    key: 'process:name',
    wanted: ['wget'],
    actual: ['curl'],
  })
})

test('the command line matches by prefix, everything else exactly', () => {
  assert.equal(matchSelector({ 'process:cmdline': ['curl --sil'] }, attributes).matched, true)
  assert.equal(matchSelector({ 'process:cmdline': ['--silent'] }, attributes).matched, false)
  assert.equal(matchSelector({ 'process:binary:path': ['/usr/bin/'] }, attributes).matched, false)
})

test('a selector without keys, a key without values and a key that nobody collects match nothing', () => {
  assert.equal(matchSelector({}, attributes).matched, false)
  assert.equal(matchSelector({ 'process:uid': [] }, attributes).matched, false)
  assert.equal(matchSelector({ 'docker:image': ['nginx'] }, attributes).matched, false)
})

test('an identity whose strong keys are a strict superset wins, in either order', () => {
  const broad = identity('broad', { 'process:uid': ['1000'] })
  const narrow = identity('narrow', { 'process:uid': ['1000'], 'process:binary:path': ['/usr/bin/curl'] })
  for (const order of [
    [broad, narrow],
    [narrow, broad],
  ]) {
    const choice = chooseIdentity(order, attributes)
    assert.equal(choice.kind === 'identified' && choice.identity.name, 'narrow')
  }
})

test('weak keys do not make an identity more specific: a tie, and none', () => {
  const plain = identity('plain', { 'process:uid': ['1000'] })
  const claimed = identity('claimed', { 'process:uid': ['1000'], 'process:env:STAGE': ['prod'] })
  const choice = chooseIdentity([plain, claimed], attributes)
  assert.deepEqual(choice.kind === 'tie' && choice.between.map(({ name }) => name), ['plain', 'claimed'])
})

test('of several selectors each one that matched must be beaten', () => {
  const both = identity('both', { 'process:uid': ['1000'] }, { 'process:binary:path': ['/usr/bin/curl'] })
  const narrow = identity('narrow', { 'process:uid': ['1000'], 'destination:port': ['443'] })
  const at443 = new Map([...attributes, ['destination:port', ['443']]])
  assert.equal(chooseIdentity([both, narrow], at443).kind, 'tie')
})

test('an explanation says what was wanted, what there was, and what is not collected', () => {
  const [match] = matchIdentities(
    [identity('x', { 'process:uid': ['0'] }, { 'k8s:label:app': ['x'] }, { 'systemd:unit': ['x.service'] })],
    attributes,
  )
  assert.deepEqual(explainMatch(match!), [
    'wants process:uid = "0", it is "1000"',
    'wants k8s:label:app = "x", which this daemon does not collect',
    'wants systemd:unit = "x.service", the process has none',
  ])
})

const keyNames = [
  'process:name',
  'process:cmdline',
  'process:env:A',
  'process:uid',
  'process:gid',
  'systemd:unit',
]
const value = fc.constantFrom('a', 'ab', 'b')
const selector = fc.dictionary(
  fc.constantFrom(...keyNames),
  fc.uniqueArray(value, { minLength: 1, maxLength: 2 }),
)
const selectors = fc.array(selector, { minLength: 1, maxLength: 3 })
const facts = fc
  .dictionary(fc.constantFrom(...keyNames), fc.tuple(value))
  .map((record) => new Map(Object.entries(record)))

test('the choice does not depend on the order of the identities', () => {
  fc.assert(
    fc.property(fc.array(selectors, { minLength: 1, maxLength: 4 }), facts, (all, known) => {
      const identities = all.map((maps, index) => identity(`i${index}`, ...maps))
      const nameOf = (list: readonly ScopedIdentity[]) => {
        const choice = chooseIdentity(list, known)
        return choice.kind === 'identified' ? choice.identity.name : choice.kind
      }
      assert.equal(nameOf(identities), nameOf(identities.toReversed()))
    }),
  )
})

test('no weak key, whatever its value, lets an identity win over one with the same strong keys', () => {
  const strongMap = fc.dictionary(
    fc.constantFrom('process:uid', 'process:gid', 'systemd:unit'),
    fc.tuple(value),
  )
  const weakMap = fc.dictionary(
    fc.constantFrom('process:name', 'process:cmdline', 'process:env:A'),
    fc.tuple(value),
    {
      minKeys: 1,
    },
  )
  fc.assert(
    fc.property(strongMap, weakMap, (strong, weak) => {
      const plain = identity('plain', { 'process:gid': ['9'], ...strong })
      const forger = identity('forger', { 'process:gid': ['9'], ...strong, ...weak })
      const known = new Map(Object.entries({ 'process:gid': ['9'], ...strong, ...weak }))
      assert.equal(chooseIdentity([plain, forger], known).kind, 'tie')
    }),
  )
})
