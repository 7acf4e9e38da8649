import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { FileId } from '#daemon/attestation'
import { cgroupAt, cgroupMount, type CapturePolicy } from '#daemon/capture'
import { parseSpiffeId } from '#model/identity'
import { applyScopeUpdate, emptyScope, type Scope } from '#model/scope'
import { hasIpv6Route } from './doors.ts'
import { scopeWith } from './fixture.ts'
import { openKernelPolicy } from './kernel-policy.ts'

const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
const skip = !mounts.includes(' - cgroup2 ') && 'no cgroup v2 hierarchy is mounted'

/** `hidden`: files that only the attestor may see. */
function open(hidden: readonly (readonly [string, FileId])[] = []) {
  const given: CapturePolicy[] = []
  const attestor = { locate: async () => new Map(hidden) }
  return { given, policy: openKernelPolicy({ setPolicy: (policy) => given.push(policy) }, attestor) }
}

function scopeFor(host: string, port?: number): Scope {
  const address = port === undefined ? { host } : { host, port }
  return applyScopeUpdate(emptyScope, scopeWith(1, { 'process:uid': ['1000'] }, address))
}

test('an identity is captured on the ports of its Services', () => {
  const { given, policy } = open()
  policy.update(scopeFor('s3.example.org'))
  policy.update(scopeFor('minio.example.org', 9000))
  policy.update(scopeFor('127.0.0.1', 9000))
  assert.deepEqual(
    given.map(({ destinations }) => destinations.get(1)),
    [[{ port: 443 }, { port: 80 }], [{ port: 9000 }], [{ port: 9000, loopbackAddress: '127.0.0.1' }]],
  )
  assert.deepEqual(given[0]!.candidates.rules, [{ kind: 'uid', id: 1000 }])
  assert.deepEqual([...policy.numbers()], [['app', 1]])
})

test('an executable that only the attestor may see is captured as soon as it is found', async () => {
  const { given, policy } = open([['/home/one/app', { device: 1, inode: 2n }]])
  const selector = { 'process:binary:path': ['/home/one/app', '/home/one/absent'] }
  const scope = applyScopeUpdate(emptyScope, scopeWith(1, selector, { host: 's3.example.org' }))
  policy.update(scope)
  await policy.look(scope)
  assert.equal(policy.update(scope).changed, true)
  assert.deepEqual(
    given.map(({ candidates }) => candidates.rules),
    [[], [{ kind: 'executable', device: 1, inode: 2n }]],
  )
})

test('an identity that is bound to nothing is not captured', () => {
  const { given, policy } = open()
  policy.update({ ...scopeFor('s3.example.org'), bindings: new Map() })
  assert.deepEqual(given[0]!.candidates.rules, [])
  assert.equal(policy.numbers().size, 0)
})

test('the kernel gets a policy again only when it has changed', () => {
  const { given, policy } = open()
  assert.equal(policy.update(scopeFor('s3.example.org')).changed, true)
  assert.equal(policy.update(scopeFor('s3.example.org')).changed, false)
  assert.equal(policy.update(scopeFor('s3.example.org'), { force: true }).changed, true)
  assert.equal(given.length, 2)
})

test('an identity that the kernel has no room for is named, and takes nobody else the room', () => {
  const { given, policy } = open()
  const scope = scopeFor('s3.example.org')
  const spiffeId = parseSpiffeId('spiffe://example.org/app')
  const uids = Array.from({ length: 17_000 }, (_, uid) => String(uid))
  const huge = {
    name: 'a',
    spiffeId,
    selectors: [{ 'process:uid': uids }],
    captureAll: false,
    intercept: true,
  }
  policy.update({ ...scope, identities: new Map([['a', huge], ...scope.identities]) })
  assert.deepEqual(given[0]!.candidates.rules, [{ kind: 'uid', id: 1000 }])
  assert.deepEqual([...policy.numbers().keys()], ['app'])
  const [{ identity, reason }] = policy.notCapturable() as [{ identity: string; reason: string }]
  assert.equal(identity, 'a')
  assert.match(reason, /no room for its 17000 .*: name fewer/)
})

test('an identity that the kernel cannot filter is named', () => {
  const { policy } = open()
  const scope = scopeFor('s3.example.org')
  const spiffeId = parseSpiffeId('spiffe://example.org/app')
  const selectors = [{ 'process:cmdline': ['python app.py'] }]
  const identity = { name: 'app', spiffeId, selectors, captureAll: false, intercept: true }
  policy.update({ ...scope, identities: new Map([['app', identity]]) })
  assert.deepEqual(
    policy.notCapturable().map((one) => one.identity),
    ['app'],
  )
})

test('IPv6 is usable with a default route that leads somewhere', () => {
  const zero = '0'.repeat(32)
  const line = (flags: string, device: string) =>
    `${zero} 00 ${zero} 00 ${zero} 00000400 1 0 ${flags} ${device}`
  assert.equal(hasIpv6Route(line('00450003', 'eth0')), true)
  assert.equal(hasIpv6Route(line('00200200', 'lo')), false)
  assert.equal(hasIpv6Route(line('00200200', 'eth0')), false)
  assert.equal(hasIpv6Route(''), false)
})

test('identities that share a workload ID are all captured', () => {
  const { given, policy } = open()
  const scope = scopeFor('s3.example.org')
  const first = scope.identities.get('app')!
  const second = { ...first, name: 'second', selectors: [{ 'process:uid': ['2000'] }] }
  policy.update({ ...scope, identities: new Map([...scope.identities, ['second', second]]) })
  assert.deepEqual(given[0]!.candidates.rules, [
    { kind: 'uid', id: 1000 },
    { kind: 'uid', id: 2000 },
  ])
  assert.deepEqual(
    [...policy.numbers()].map(([name, number]) => [name, given[0]!.destinations.get(number)]),
    ['app', 'second'].map((name) => [name, [{ port: 443 }, { port: 80 }]]),
  )
})

test('selectors of what is no cgroup are nobody’s, and keep no other from being captured', { skip }, () => {
  const { given, policy } = open()
  const paths = ['/absent', '/cgroup.procs', '/cgroup.procs/below', '/../..', '/']
  const scope = applyScopeUpdate(
    emptyScope,
    scopeWith(1, { 'process:cgroup': paths }, { host: 's3.example.org' }),
  )
  policy.update(scope)
  const root = { kind: 'cgroup', ...cgroupAt(cgroupMount()) }
  assert.deepEqual(given[0]!.candidates.rules, [root])
})
