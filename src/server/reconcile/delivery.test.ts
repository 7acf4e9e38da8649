import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSpiffeId } from '#model/identity'
import { credentialKey, type Scope, type ScopedBinding } from '#model/scope'
import { Delivery } from './delivery.ts'
import { credentialNamed } from './fixture.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')

function binding(name: string, sourceName = 'cloud'): ScopedBinding {
  const kept = { minimumCapture: 'user', allowCredentialIssuance: false } as const
  return { name, spiffeId, sourceName, serviceNames: [], ...kept }
}

const one = binding('one')
const two = binding('two')

function scope(bindings: readonly ScopedBinding[], sources: readonly string[]): Scope {
  return {
    identities: new Map(),
    services: new Map(),
    bindings: new Map(bindings.map((each) => [each.name, each])),
    credentials: new Map(
      sources.map((sourceName) => [
        credentialKey(spiffeId, sourceName),
        { spiffeId, sourceName, credential: credentialNamed(sourceName) },
      ]),
    ),
  }
}

/** Says what a daemon should have, and sends it. */
function give(delivery: Delivery, wanted: Scope) {
  delivery.want(wanted)
  return delivery.send()
}

const names = (bindings: readonly ScopedBinding[] | undefined) => bindings?.map(({ name }) => name)

test('a binding is in effect once it is acknowledged with its credential, and that is told once', () => {
  const delivery = new Delivery()
  assert.equal(give(delivery, scope([one], [])).update.reset, true)
  assert.deepEqual(names(delivery.acknowledge(1, undefined)), [])
  assert.equal(delivery.isAcknowledged(one), false)
  give(delivery, scope([one], ['cloud']))
  assert.equal(delivery.isAcknowledged(one), false)
  assert.deepEqual(names(delivery.acknowledge(2, undefined)), ['one'])
  assert.equal(delivery.isAcknowledged(one), true)
  assert.deepEqual(names(delivery.acknowledge(2, undefined)), [])
})

test('so is another binding whose credential is there', () => {
  const delivery = new Delivery()
  const { credentials } = scope([], ['cloud'])
  give(delivery, { ...scope([one], []), credentials })
  delivery.acknowledge(1, undefined)
  give(delivery, { ...scope([one, two], []), credentials })
  assert.deepEqual(names(delivery.acknowledge(2, undefined)), ['two'])
})

test('what an earlier answer leaves open is told with a later one', () => {
  const delivery = new Delivery()
  const { credentials } = scope([], ['cloud'])
  give(delivery, { ...scope([one], []), credentials })
  give(delivery, { ...scope([one, two], []), credentials })
  assert.deepEqual(names(delivery.acknowledge(1, undefined)), ['one'])
  assert.equal(delivery.isAcknowledged(two), false)
  assert.deepEqual(names(delivery.acknowledge(2, undefined)), ['two'])
})

test('what is about to change is known, and a lost credential names the bindings that used it', () => {
  const delivery = new Delivery()
  const other = binding('other', 'elsewhere')
  give(delivery, scope([one, other], ['cloud', 'elsewhere']))
  delivery.acknowledge(1, undefined)
  assert.equal(delivery.isAllSent, true)
  delivery.want({ ...scope([{ ...one, serviceNames: ['s3'] }, other], []), credentials: new Map() })
  assert.equal(delivery.isAllSent, false)
  assert.deepEqual([delivery.isUnsent(one), delivery.isUnsent(other)], [true, false])
  const lost = give(delivery, scope([one, other], ['elsewhere']))
  assert.deepEqual(names(lost.bereft), ['one'])
  assert.deepEqual(lost.update.remove.credentials, [credentialKey(spiffeId, 'cloud')])
})

test('a failure concerns all bindings, and so does its end', () => {
  const delivery = new Delivery()
  give(delivery, scope([one, two], ['cloud']))
  assert.deepEqual(names(delivery.acknowledge(1, 'no memory')), ['one', 'two'])
  assert.equal(delivery.error, 'no memory')
  assert.equal(delivery.isAcknowledged(one), false)
  assert.deepEqual(names(delivery.acknowledge(1, undefined)), ['one', 'two'])
  assert.equal(delivery.error, undefined)
})

test('an answer to what was never sent, or to what is past, says nothing', () => {
  const delivery = new Delivery()
  give(delivery, scope([one], ['cloud']))
  assert.equal(delivery.acknowledge(2, undefined), undefined)
  give(delivery, scope([one, two], ['cloud']))
  delivery.acknowledge(2, undefined)
  assert.equal(delivery.acknowledge(1, 'late'), undefined)
  assert.equal(delivery.error, undefined)
})

test('what a daemon cannot read concerns the bindings that need it, until it says otherwise', () => {
  const none = { identities: [], services: [], bindings: [], credentials: [] }
  const s3 = { ...binding('s3', 'cloud'), serviceNames: ['s3'] }
  const elsewhere = binding('elsewhere', 'elsewhere')
  const all = [one, s3, elsewhere]
  const identity = { name: 'app', spiffeId, selectors: [], captureAll: false, intercept: true }
  const wanted: Scope = {
    ...scope(all, ['cloud', 'elsewhere']),
    identities: new Map([['app', identity]]),
    services: new Map([['s3', { name: 's3', addresses: [] }]]),
  }
  const delivery = new Delivery()
  give(delivery, wanted)
  const inEffect = () => names(all.filter((each) => delivery.isAcknowledged(each)))
  const key = credentialKey(spiffeId, 'elsewhere')
  for (const [leftOut, rest] of [
    [{ bindings: ['one'] }, ['s3', 'elsewhere']],
    [{ services: ['s3'] }, ['one', 'elsewhere']],
    [{ credentials: [key] }, ['one', 's3']],
    [{ identities: ['app'] }, []],
    [{ identities: ['other'], services: ['other'] }, ['one', 's3', 'elsewhere']],
  ] as const) {
    assert.deepEqual(names(delivery.acknowledge(1, 'too new', { ...none, ...leftOut })), names(all))
    assert.deepEqual(inEffect(), rest)
    assert.deepEqual([delivery.acknowledged, delivery.error], [1, 'too new'])
  }
  delivery.acknowledge(1, 'too new', { ...none, bindings: ['one'] })
  // Of an update that failed altogether nothing is known: what was left out before still is.
  delivery.acknowledge(1, 'no memory')
  assert.deepEqual(inEffect(), ['s3', 'elsewhere'])
  delivery.acknowledge(1, undefined)
  assert.deepEqual([inEffect(), delivery.error], [names(all), undefined])
})
