import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExchangeState } from '#server/exchange'
import { judgeCredentialBinding } from './credential-binding.ts'
import { judgeCredentialSource } from './credential-source.ts'
import { judgeDaemon } from './daemon.ts'
import { enumerate, nextStatus } from './desired-status.ts'
import {
  binding,
  credentialNamed,
  identity,
  makeObject,
  objectsOf,
  service,
  source,
  streamOf,
  worldOf,
} from './fixture.ts'
import type { Stream } from './scopes.ts'
import { judgeJoinToken } from './join-token.ts'
import { judgeService } from './service.ts'
import { judgeVerifier } from './verifier.ts'
import { judgeWorkloadCredential } from './workload-credential.ts'
import { judgeWorkloadIdentity } from './workload-identity.ts'

const app = identity('a', 'app/a')
const aws = source('aws')
const s3 = service('s3', ['s3.amazonaws.com'])
const one = binding('one', 'app/a', 'aws', 's3')
const node = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
const guide = objectsOf(app, aws, s3, one, node)

const target = {
  spiffeId: worldOf(guide).plan.identities.get('a')!.scoped.spiffeId,
  sourceName: 'aws',
  aws: aws.spec.aws!,
}
const exchanged: ExchangeState = { target, credential: credentialNamed('ASIA1') }
const refused = (needsOperator: boolean): ExchangeState => ({
  target,
  failure: { kind: 'denied', reason: 'SubjectRefused', message: 'because', needsOperator },
})
const failedProbe = { state: 'failed', reason: 'NameNotResolved', message: 'no such name' } as const

test('a source is AVAILABLE before any exchange when the spec is valid and both probes answer', () => {
  const state = (world: Parameters<typeof worldOf>[1]) => {
    const { state, message, conditions } = judgeCredentialSource(aws, worldOf(guide, world))
    return [state, message, conditions.find(({ type }) => type === 'Exchanged')!.status] as const
  }
  assert.deepEqual(state({}), [
    'AVAILABLE',
    'ready: create a CredentialBinding, which triggers the first exchange',
    'Unknown',
  ])
  assert.deepEqual(state({ discovery: { state: 'pending' } }).slice(0, 1), ['PENDING'])
  assert.deepEqual(state({ discovery: failedProbe }).slice(0, 2), ['PENDING', 'no such name'])
  assert.deepEqual(state({ endpoint: failedProbe }).slice(0, 2), ['PENDING', 'no such name'])
  assert.equal(state({ exchanges: () => refused(true) })[0], 'FAILED')
  assert.equal(state({ exchanges: () => refused(false) })[0], 'PENDING')
  assert.equal(state({ exchanges: () => ({ target }) })[2], 'Unknown')
})

test('what was found before a restart stands until it has been looked at again, unless the specification changed', () => {
  const at = 1_767_225_600_000
  const found = { discovery: failedProbe, endpoint: failedProbe, exchanges: () => refused(true) }
  const restarted = {
    discovery: { state: 'pending' },
    endpoint: { state: 'pending' },
    exchanges: () => ({ target, isUntried: true as const }),
  } as const
  const saved = worldOf(guide, found)
  const failed = { ...aws, status: nextStatus(aws, judgeCredentialSource(aws, saved), at) }
  const failedBinding = { ...one, status: nextStatus(one, judgeCredentialBinding(one, saved), at) }
  const world = worldOf(guide, restarted)
  assert.deepEqual(nextStatus(failed, judgeCredentialSource(failed, world), at), failed.status)
  assert.deepEqual(
    nextStatus(failedBinding, judgeCredentialBinding(failedBinding, world), at),
    failedBinding.status,
  )
  const well = { ...aws, status: nextStatus(aws, judgeCredentialSource(aws, worldOf(guide)), at) }
  const probing = worldOf(guide, { ...restarted, exchanges: () => undefined })
  assert.deepEqual(nextStatus(well, judgeCredentialSource(well, probing), at), well.status)

  const renewing = () => ({ ...exchanged, ...refused(true) })
  const renewed = nextStatus(one, judgeCredentialBinding(one, worldOf(guide, { exchanges: renewing })), at)
  const serves = { ...one, status: renewed }
  const again = worldOf(guide, { exchanges: () => ({ ...exchanged, isUntried: true }) })
  assert.deepEqual(nextStatus(serves, judgeCredentialBinding(serves, again), at), renewed)

  const metadata = { ...aws.metadata, generation: 2 }
  for (const object of [failed, well])
    assert.equal(judgeCredentialSource({ ...object, metadata }, world).state, 'PENDING')
  const tried = worldOf(guide, { exchanges: () => ({ target }) })
  assert.equal(judgeCredentialBinding(failedBinding, tried).state, 'PENDING')
})

test('a message says the same whatever order things come in: every server judges alike', () => {
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  for (const order of [ids, ids.toReversed(), ['c', 'a', 'g', 'f', 'b', 'e', 'd']]) {
    assert.equal(enumerate(order), 'a, b, c, d, e and 2 more')
    const objects = order.flatMap((id) => [identity(id, `app/${id}`), binding(id, `app/${id}`, 'aws', 's3')])
    const { message } = judgeCredentialSource(
      aws,
      worldOf(objectsOf(aws, s3, ...objects), {
        exchanges: (key) => {
          const spiffeId = key.slice('aws '.length) as typeof target.spiffeId
          return key.endsWith('/a') ? exchanged : { ...refused(true), target: { ...target, spiffeId } }
        },
      }),
    )
    assert.equal(message, 'exchange for spiffe://example.org/app/b failed: because')
  }
  assert.equal(enumerate(['b', 'a']), 'a, b')
  assert.equal(enumerate([]), '')
})

test('an exchange that succeeded says more about the issuer than a look from here', () => {
  const world = worldOf(guide, { discovery: failedProbe, exchanges: () => exchanged })
  const { state, conditions } = judgeCredentialSource(aws, world)
  assert.equal(state, 'AVAILABLE')
  assert.equal(conditions.find(({ type }) => type === 'DiscoveryReachable')?.status, 'False')
})

test('what is accepted but not acted on never reads as good', () => {
  const gcp = makeObject('CredentialSource', 'gcp', { gcp: {} })
  const two = source('two', { audience: ['a', 'b'] })
  const both = binding('both', 'app/a', 'aws', 's3', {
    propagation: { injection: { selectors: [{ app: 's3' }] }, sysfs: {} },
  })
  const world = worldOf(objectsOf(app, aws, s3, gcp, two, both), {
    streams: [streamOf('one')],
    exchanges: () => exchanged,
  })
  assert.equal(judgeCredentialSource(gcp, world).state, 'FAILED')
  assert.equal(judgeCredentialSource(two, world).state, 'PENDING')
  const judged = judgeCredentialBinding(both, world)
  assert.equal(judged.state, 'PENDING')
  assert.match(judged.message, /spec\.propagation\.sysfs/)
  const file = makeObject('WorkloadCredential', 'f', { workloadID: 'app/a', credentialSource: 'aws' })
  assert.equal(judgeWorkloadCredential(file).state, 'FAILED')
  assert.equal(judgeVerifier(makeObject('Verifier', 'v', { AWSIID: {} })).state, 'FAILED')
  assert.equal(judgeVerifier(makeObject('Verifier', 'v', { joinToken: {} })).state, 'Available')
})

test('a binding is OK only with a credential that is in effect on every daemon in scope', () => {
  const state = (exchange: ExchangeState | undefined, ...streams: Stream[]) =>
    judgeCredentialBinding(one, worldOf(guide, { streams, exchanges: () => exchange })).state
  assert.equal(state(undefined, streamOf('one')), 'PENDING')
  assert.equal(state(refused(false), streamOf('one')), 'PENDING')
  assert.equal(state(refused(true), streamOf('one')), 'FAILED')
  assert.equal(state(exchanged), 'PENDING')
  assert.equal(state(exchanged, streamOf('elsewhere')), 'PENDING')
  assert.equal(state(exchanged, streamOf('one', { state: 'PENDING' })), 'PENDING')
  assert.equal(state(exchanged, streamOf('one', { state: 'WITHHELD' })), 'FAILED')
  assert.equal(state(exchanged, streamOf('one', { state: 'FAILED', message: 'x' })), 'FAILED')
  assert.equal(state(exchanged, streamOf('one'), streamOf('elsewhere', { state: 'PENDING' })), 'OK')
})

test('an identity says where it may run, how weak it is, and what daemons report', () => {
  const judge = (object: typeof app, world: Parameters<typeof worldOf>[1] = {}, ...others: (typeof app)[]) =>
    judgeWorkloadIdentity(object, worldOf(objectsOf(object, node, ...others), world))
  assert.match(judge(app).message, /matches one, not connected: see "tideway ctl get daemons"/)
  assert.equal(judge(app).state, 'PENDING')
  assert.equal(judge(app, { streams: [streamOf('one')] }).state, 'OK')
  const nowhere = identity('n', 'app/n', { scope: { agentGroup: { id: 'blue' } } })
  assert.match(judge(nowhere).message, /none is in the group blue/)
  assert.equal(judge(nowhere).state, 'PENDING')
  const weak = identity('w', 'app/w', { selectors: [{ 'process:name': 'curl' }] })
  assert.match(judge(weak).message, /AssumableByAnyLocalUser: .* add process:uid/)
  const thief = identity('thief', 'app/a', {}, { namespace: 'other' })
  assert.equal(judge(thief, {}, app).state, 'FAILED')
  const report = {
    subject: 'workloadidentity/a',
    type: 'NotCapturable',
    status: 'True',
    reason: 'OtherNetns',
    message: 'a process runs in another network namespace',
  } as const
  const reported = judge(app, { streams: [streamOf('one', { state: 'OK' }, { conditions: [report] })] })
  assert.match(reported.message, /NotCapturable: on daemon one: a process runs in another/)
})

test('a daemon of which nothing is heard counts as one that is not connected, and what it said is over', () => {
  const report = { type: 'UpstreamReachable', status: 'False', reason: 'Any', message: 'bad' } as const
  const conditions = ['service/s3', 'workloadidentity/a'].map((subject) => ({ ...report, subject }))
  const streams = [streamOf('one', { state: 'OK' }, { conditions })]
  const status = { state: 'DISCONNECTED' as const, message: 'nothing heard of it for 3 s' }
  const among = (daemon: typeof node) =>
    worldOf(objectsOf(app, aws, s3, one, daemon), { streams, exchanges: () => exchanged })
  const [open, silent] = [among(node), among({ ...node, status })]
  assert.equal(judgeWorkloadIdentity(app, open).state, 'OK')
  assert.equal(judgeCredentialBinding(one, open).state, 'OK')
  assert.equal(judgeService(s3, open).state, 'FAILED')
  const identity = judgeWorkloadIdentity(app, silent)
  assert.match(identity.message, /^the scope matches one, not connected[^;]*$/)
  const binding = judgeCredentialBinding(one, silent)
  assert.deepEqual([binding.state, binding.own?.['daemons']], ['PENDING', undefined])
  assert.match(binding.message, /^no connected daemon is in the scope/)
  assert.equal(judgeService(s3, silent).state, 'OK')
})

test('a Service shows its bindings and what daemons found upstream', () => {
  assert.match(judgeService(s3, worldOf(guide)).message, /selected by CredentialBinding one/)
  const report = {
    subject: 'Service/s3',
    type: 'UpstreamVerified',
    status: 'False',
    reason: 'CertificateInvalid',
    message: 'expired',
  } as const
  const world = worldOf(guide, { streams: [streamOf('one', { state: 'OK' }, { conditions: [report] })] })
  const { state, message } = judgeService(s3, world)
  assert.deepEqual(
    [state, message],
    ['FAILED', 'on daemon one: expired: correct the certificate there, or name its CA in spec.caBundle'],
  )
  const recovered = [{ ...report, status: 'True' as const }]
  const later = worldOf(guide, { streams: [streamOf('one', { state: 'OK' }, { conditions: recovered })] })
  assert.equal(judgeService(s3, later).state, 'OK')
})

test('a daemon shows what it says of itself, and no other daemon does', () => {
  const report = {
    subject: 'daemon',
    type: 'AuditAvailable',
    status: 'False',
    reason: 'AUDIT_UNAVAILABLE',
    message: 'no space',
  } as const
  const streams = [streamOf('one', { state: 'OK' }, { conditions: [report] }), streamOf('two')]
  const said = (object: typeof node) =>
    judgeDaemon(object, worldOf(guide, { streams })).find(({ type }) => type === 'AuditAvailable')?.message
  assert.match(said(node)!, /^on daemon one: no space: make room on the disk/)
  assert.equal(said({ ...node, metadata: { ...node.metadata, name: 'two' } }), undefined)
})

test('a daemon shows whether it is in step while it is there', () => {
  const types = (...streams: Stream[]) =>
    judgeDaemon(node, worldOf(guide, { streams })).map(({ type, status }) => `${type}=${status}`)
  assert.deepEqual(types(), [])
  assert.deepEqual(types(streamOf('one')), ['InSync=True'])
  assert.deepEqual(types(streamOf('one', { state: 'OK' }, { synchronised: false })), ['InSync=Unknown'])
  assert.deepEqual(types(streamOf('one', { state: 'OK' }, { error: 'x' })), ['InSync=False'])
  const silent = { ...node, status: { state: 'DISCONNECTED' as const, message: 'nothing heard of it' } }
  assert.deepEqual(judgeDaemon(silent, worldOf(guide, { streams: [streamOf('one')] })), [])
})

test('times of a status move only when what they are about changes', () => {
  const desired = judgeCredentialSource(aws, worldOf(guide))
  const first = nextStatus<'CredentialSource'>(aws, desired, 0)
  const again = nextStatus<'CredentialSource'>({ ...aws, status: first }, desired, 60_000)
  assert.deepEqual(again, first)
  const failing = judgeCredentialSource(aws, worldOf(guide, { endpoint: failedProbe }))
  const third = nextStatus<'CredentialSource'>({ ...aws, status: first }, failing, 60_000)
  assert.equal(third.updateAt, '1970-01-01T00:01:00.000Z')
  const since = (type: string) => third.conditions?.find((one) => one.type === type)?.lastTransitionTime
  assert.equal(since('EndpointReachable'), '1970-01-01T00:01:00.000Z')
  assert.equal(since('DiscoveryReachable'), '1970-01-01T00:00:00.000Z')
})

test('a join token is AVAILABLE until the moment it expires', () => {
  const { at } = worldOf(guide)
  const token = (expireAt?: number) =>
    makeObject('JoinToken', 'join', {
      token: 'a-token-of-enough-letters',
      ...(expireAt !== undefined && { expireAt: new Date(expireAt).toISOString() }),
    })
  assert.equal(judgeJoinToken(token(), at).state, 'AVAILABLE')
  assert.equal(judgeJoinToken(token(at + 1), at).state, 'AVAILABLE')
  assert.equal(judgeJoinToken(token(at), at).state, 'EXPIRED')
})

test('what a scope has no room for is FAILED where it is left out, says what to do, and the daemon names whose it is', () => {
  const large = identity('b', 'app/b', {
    selectors: [{ 'process:uid': 1, 'process:cmdline': 'x'.repeat(4_000) }],
  })
  const two = binding('two', 'app/b', 'aws', 's3')
  const objects = objectsOf(app, aws, s3, one, node, large, two)
  const told = (maxScopeBytes?: number) => {
    const world = worldOf(objects, {
      streams: [streamOf('one')],
      exchanges: () => exchanged,
      ...(maxScopeBytes !== undefined && { maxScopeBytes }),
    })
    const bound = judgeCredentialBinding(two, world)
    return {
      states: [app, large].map((object) => judgeWorkloadIdentity(object, world).state),
      bindings: [judgeCredentialBinding(one, world).state, bound.state],
      daemons: bound.own?.daemons,
      message: bound.message,
      daemon: judgeDaemon(node, world).find(({ type }) => type === 'ScopeComplete')?.reason,
    }
  }
  assert.deepEqual([told().states, told().bindings, told().daemon], [['OK', 'OK'], ['OK', 'OK'], undefined])
  const { message, ...rest } = told(9_000)
  assert.deepEqual(rest, {
    states: ['OK', 'FAILED'],
    bindings: ['OK', 'FAILED'],
    daemons: [{ name: 'one', state: 'FAILED', message: 'its scope has no room for it' }],
    daemon: 'ScopeFull',
  })
  assert.match(
    message,
    /^the scope of daemon one has no room for it: namespace riptides-system wants more .*: delete/,
  )
})
