import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSpiffeId } from '#model/identity'
import type { Scope, ScopedBinding, ScopedIdentity, ScopedService } from '#model/scope'
import { credentialKey } from '#model/scope'
import { Secret } from '#base/secret'
import { openPolicy, type Query } from './index.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')
const identity: ScopedIdentity = {
  name: 'app',
  spiffeId,
  selectors: [{ 'process:uid': ['1000'] }],
  captureAll: false,
  intercept: true,
}

function service(name: string, ...addresses: ScopedService['addresses'][number][]): ScopedService {
  return { name, addresses }
}

function binding(name: string, serviceNames: string[], rest: Partial<ScopedBinding> = {}): ScopedBinding {
  return {
    name,
    spiffeId,
    sourceName: 'aws',
    serviceNames,
    minimumCapture: 'process',
    allowCredentialIssuance: false,
    ...rest,
  }
}

function scopeOf(services: ScopedService[], bindings: ScopedBinding[]): Scope {
  const credential = {
    spiffeId,
    sourceName: 'aws',
    credential: {
      kind: 'aws' as const,
      accessKeyId: 'ASIAEXAMPLE',
      secretAccessKey: Secret.of('secret'),
      sessionToken: Secret.of('token'),
      issuedAt: 0,
      expiresAt: 3_600_000,
    },
  }
  return {
    identities: new Map([[identity.name, identity]]),
    services: new Map(services.map((item) => [item.name, item])),
    bindings: new Map(bindings.map((item) => [item.name, item])),
    credentials: new Map([[credentialKey(spiffeId, 'aws'), credential]]),
  }
}

function ask(scope: Scope, query: Partial<Query>) {
  return openPolicy(scope).decide({
    identity,
    level: 'process',
    host: 's3.us-east-1.amazonaws.com',
    port: 443,
    tls: true,
    ...query,
  })
}

const s3 = service('s3', { host: 's3.us-east-1.amazonaws.com' })

test('a bound host is injected with the credential of its source', () => {
  const decision = ask(scopeOf([s3], [binding('b', ['s3'])]), {})
  assert(decision.action === 'inject')
  assert.equal(decision.binding.name, 'b')
  assert.equal(decision.service.name, 's3')
  assert.equal(decision.credential?.sourceName, 'aws')
})

test('a missing credential leaves the grant without one', () => {
  const decision = ask(scopeOf([s3], [binding('b', ['s3'], { sourceName: 'other' })]), {})
  assert(decision.action === 'inject')
  assert.equal(decision.credential, undefined)
})

test('an unbound host, an unknown identity and another port are left alone', () => {
  const scope = scopeOf([s3], [binding('b', ['s3'])])
  const stranger = { ...identity, spiffeId: parseSpiffeId('spiffe://example.org/other') }
  for (const query of [{ host: 'example.com' }, { identity: stranger }, { port: 8443 }]) {
    assert.deepEqual(ask(scope, query), { action: 'splice', why: 'unbound' })
  }
})

test('an address without a port means 443 and 80, one with a port means that port', () => {
  const scope = scopeOf([s3, service('own', { host: 'own.test', port: 9000 })], [binding('b', ['s3', 'own'])])
  assert.equal(ask(scope, { port: 80, tls: false }).action, 'inject')
  assert.equal(ask(scope, { host: 'own.test', port: 9000 }).action, 'inject')
  assert.equal(ask(scope, { host: 'own.test', port: 443 }).action, 'splice')
})

test('a wildcard stands for one leftmost label', () => {
  const scope = scopeOf(
    [service('buckets', { host: '*.s3.us-east-1.amazonaws.com' })],
    [binding('b', ['buckets'])],
  )
  assert.equal(ask(scope, { host: 'bucket.s3.us-east-1.amazonaws.com' }).action, 'inject')
  for (const host of ['a.b.s3.us-east-1.amazonaws.com', 's3.us-east-1.amazonaws.com', '', 'com']) {
    assert.equal(ask(scope, { host }).action, 'splice', host)
  }
})

test('two bindings of one identity for one host are refused, by the same service or a wildcard', () => {
  const wide = service('wide', { host: '*.us-east-1.amazonaws.com' })
  for (const second of [binding('b2', ['s3']), binding('b2', ['wide'])]) {
    const decision = ask(scopeOf([s3, wide], [binding('b1', ['s3']), second]), {})
    assert(decision.action === 'refuse')
    assert.equal(decision.code, 'BINDING_AMBIGUOUS')
    assert.match(decision.reason, /b1, b2/)
  }
})

test('within one binding the exact name wins over the wildcard', () => {
  const wide = service('wide', { host: '*.us-east-1.amazonaws.com' })
  const decision = ask(scopeOf([wide, s3], [binding('b', ['wide', 's3'])]), {})
  assert(decision.action === 'inject')
  assert.equal(decision.service.name, 's3')
})

test('a capture level below the minimum is refused with both levels named', () => {
  const scope = scopeOf([s3], [binding('b', ['s3'], { minimumCapture: 'workload' })])
  const decision = ask(scope, { level: 'user' })
  assert(decision.action === 'refuse')
  assert.equal(decision.code, 'CAPTURE_INSUFFICIENT')
  assert.match(decision.reason, /workload.*user/)
  assert.equal(ask(scope, { level: 'process' }).action, 'inject')
})

test('TLS of an identity without intercept is left alone, its plain text is not', () => {
  const scope = scopeOf([s3], [binding('b', ['s3'])])
  const blind = { ...identity, intercept: false }
  assert.deepEqual(ask(scope, { identity: blind }), { action: 'splice', why: 'not-intercepted' })
  assert.equal(ask(scope, { identity: blind, port: 80, tls: false }).action, 'inject')
})

test('plain text is not signed on port 443, nor for a service with a CA of its own', () => {
  const tlsOnly = { ...service('own', { host: 'own.test', port: 9000 }), caBundlePem: 'PEM' }
  const scope = scopeOf([s3, tlsOnly], [binding('b', ['s3', 'own'])])
  assert.equal(ask(scope, { tls: false }).action, 'splice')
  assert.equal(ask(scope, { port: 80 }).action, 'splice')
  assert.equal(ask(scope, { host: 'own.test', port: 9000, tls: false }).action, 'splice')
  assert.equal(ask(scope, { host: 'own.test', port: 9000 }).action, 'inject')
})

test('a binding to a service that is not there binds nothing', () => {
  assert.equal(ask(scopeOf([], [binding('b', ['s3'])]), {}).action, 'splice')
})

test('ports and hosts are known per identity', () => {
  const wide = service('wide', { host: '*.example.com', port: 9000 })
  const policy = openPolicy(scopeOf([s3, wide], [binding('b', ['s3', 'wide'])]))
  assert(policy.usesPort(spiffeId, 443))
  assert(policy.usesPort(spiffeId, 80))
  assert(policy.usesPort(spiffeId, 9000))
  assert(!policy.usesPort(spiffeId, 22))
  assert(!policy.usesPort(parseSpiffeId('spiffe://example.org/other'), 443))
  assert.deepEqual(policy.plainHosts(spiffeId, 80), ['s3.us-east-1.amazonaws.com'])
  assert.deepEqual(policy.plainHosts(spiffeId, 443), [])
  assert.deepEqual(policy.plainHosts(spiffeId, 9000), [])
})
