// Everything that a state or condition can say: each reason of the catalogue is brought about, and its message must be
// of the form that its entry demands. A reason that is added without a case here fails, and so does one without a form.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { Fault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import {
  reasons,
  reportedTypes,
  withFirstStatus,
  type CommonStatus,
  type Kind,
  type Needs,
  type Reason,
  type ResourceOf,
  type StatusOf,
} from '#model/resource'
import type { Exchange, ExchangeState, HttpClient, Probe } from '#server/exchange'
import { openProviderStatus } from '../src/server/access/provider-status.ts'
import { openIdTokens } from '../src/server/access/id-tokens.ts'
import { openDaemonStatus } from '../src/server/enrollment/daemon-status.ts'
import { awsExchange } from '../src/server/exchange/aws.ts'
import { openExchanges } from '../src/server/exchange/exchanges.ts'
import {
  describeStsError,
  describeUnreachable,
  type ExchangeFailure,
} from '../src/server/exchange/failure.ts'
import { openProbes } from '../src/server/exchange/probes.ts'
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
} from '../src/server/reconcile/fixture.ts'
import { judgeDaemon } from '../src/server/reconcile/daemon.ts'
import { judgeObject } from '../src/server/reconcile/judging.ts'
import type { Effect, Stream } from '../src/server/reconcile/scopes.ts'

interface Said {
  readonly reason: string
  readonly message: string
}

const doing =
  'add|allow|activate|check|correct|create|delete|give|join|leave|let|look|lower|make|name|publish|put|raise|register|restart|see|set|start|synchronise|use'
const forms: Readonly<Record<Needs, RegExp>> = {
  nothing: /./,
  time: /by itself|wait|takes (some|a|a few) (moment|second)/,
  // In the imperative, at the beginning of a clause.
  action: new RegExp(`(^|[:;,(]|\\b(and|or|then|else|so))\\s+(${doing})\\b`),
}

/** What is wrong with the form of what is said, if anything. */
function faultsOf({ reason, message }: Said, form: RegExp): string[] {
  const sound = form.test(message) && /^\S[^\n]*[^\s.]$/.test(message) && message.length <= 1024
  return sound ? [] : [`${reason}: ${message}`]
}

const { signal } = new AbortController()
const app = identity('a', 'app/a')
const aws = source('aws')
const s3 = service('s3', ['s3.amazonaws.com'])
const one = binding('one', 'app/a', 'aws', 's3')
const node = makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' })
const guide = [app, aws, s3, one, node] as const
const target = {
  spiffeId: worldOf(objectsOf(...guide)).plan.identities.get('a')!.scoped.spiffeId,
  sourceName: 'aws',
  aws: aws.spec.aws!,
}

type World = Parameters<typeof worldOf>[1]

/** The state and the conditions of an object among others. */
function judged(object: ResourceOf<Kind>, world: World = {}, others: readonly ResourceOf<Kind>[] = guide) {
  const around = worldOf(objectsOf(...new Set([...others, object])), world)
  if (object.kind === 'Daemon') return judgeDaemon(object, around)
  const { state, message, conditions } = judgeObject(object, around)!
  if (['PENDING', 'FAILED', 'EXPIRED'].includes(state)) {
    const form = new RegExp(`${forms.action.source}|${forms.time.source}`)
    assert.deepEqual(faultsOf({ reason: object.kind, message }, form), [])
  }
  return conditions
}

const ok: Effect = { state: 'OK' }
const exchanged: ExchangeState = { target, credential: credentialNamed('ASIA1') }
const failure = (): ExchangeFailure =>
  describeStsError(subject, { status: 403, code: 'AccessDenied', message: 'Not authorized' }, 'token')
const exchanging = (state: Partial<ExchangeState>) => ({ exchanges: () => ({ target, ...state }) })
const subject = {
  issuer: 'https://id.example/oidc',
  subject: target.spiffeId,
  audience: 'sts.amazonaws.com',
  role: 'arn:aws:iam::123456789012:role/r',
  endpoint: 'https://sts.amazonaws.com',
}

function fromReconciling(): readonly Said[] {
  const other = identity('thief', 'app/a', {}, { namespace: 'other' })
  const twin = makeObject('Daemon', 'twin', { workloadID: 'app/a', claimerType: 'JoinToken' })
  const weak = identity('w', 'app/w', { selectors: [{ 'process:env:X': 'y' }] })
  const nowhere = identity('n', 'app/n', { scope: { agentGroup: { id: 'blue' } } })
  const unseen = {
    state: 'failed',
    ...describeUnreachable(subject.endpoint, new Error('reset')),
  } as const
  const streams = [streamOf('one', ok)]
  const withOk = { ...exchanging(exchanged), streams }
  const on = (effect: Effect, rest?: Partial<Stream>) => ({
    ...exchanging(exchanged),
    streams: [streamOf('one', effect, rest)],
  })
  const again = binding('again', 'app/a', 'aws', 's3')
  const file = binding('file', 'app/a', 'aws', 's3', { propagation: { sysfs: {} } })
  const gcp = makeObject('CredentialSource', 'gcp', { gcp: {} })
  const token = { token: 'a-token-of-enough-letters' }
  return [
    judged(app, { streams }),
    judged(app),
    judged(nowhere),
    judged(weak),
    judged(other),
    judged(app, {}, [app, twin]),
    judged(identity('d', 'app/d', { selectors: [{ 'docker:name': 'x', 'process:uid': 1 }] })),
    judged(s3),
    judged(service('lonely', ['lonely.example'])),
    judged(service('prefixed', ['p.example'], { external: false })),
    judged(aws),
    judged(aws, {}, [aws]),
    judged(aws, exchanging(exchanged)),
    judged(aws, exchanging({})),
    judged(aws, exchanging({ failure: failure() })),
    judged(aws, { discovery: { state: 'pending' }, endpoint: unseen }, [aws]),
    judged(gcp),
    judged(source('two', { audience: ['a', 'b'] })),
    judged(one, withOk),
    judged(one, { streams }),
    judged(one, exchanging(exchanged)),
    judged(one, { ...exchanging({ failure: failure() }), streams }),
    judged(one, { ...exchanging({ ...exchanged, failure: failure() }), streams }),
    judged(one, on({ state: 'PENDING' })),
    judged(one, on({ state: 'WITHHELD' })),
    judged(one, on({ state: 'FAILED', message: 'no space' })),
    judged(one, withOk, [one, aws, s3, node]),
    judged(one, withOk, [one, twin]),
    judged(one, withOk, [one, other]),
    judged(one, withOk, [one, app, s3, node]),
    judged(one, withOk, [one, app, aws, node]),
    judged(binding('g', 'app/a', 'gcp', 's3'), withOk, [...guide.slice(0, 3), gcp]),
    judged(one, withOk, [...guide, again]),
    judged(one, withOk, [app, aws, service('s3', ['s3.amazonaws.com'], { external: true }), one]),
    judged(file, withOk, [app, aws, s3]),
    judged(makeObject('WorkloadCredential', 'f', { workloadID: 'app/a', credentialSource: 'aws' })),
    judged(makeObject('Verifier', 'v', { AWSIID: {} })),
    judged(makeObject('Verifier', 'v', { joinToken: {}, requiredMetadata: [{ a: 'b' }] })),
    judged(makeObject('JoinToken', 'j', { ...token, expireAt: '2020-01-01T00:00:00Z' })),
    judged(node),
    judged(node, on(ok)),
    judged(node, on(ok, { synchronised: false })),
    judged(node, on(ok, { error: 'no space' })),
    ...[app, one, node].flatMap((object) => judged(object, { ...withOk, maxScopeBytes: 100 })),
  ].flat()
}

function fromTheCloud(): readonly Said[] {
  const answers: [status: number, code: string, message: string][] = [
    [400, 'Throttling', 'Rate exceeded'],
    [429, 'Whatever', ''],
    [500, 'InternalFailure', ''],
    [400, 'IDPCommunicationError', 'Error communicating with IdP'],
    [400, 'IDPCommunicationError', ''],
    [400, 'InvalidIdentityToken', 'Incorrect token audience'],
    [400, 'InvalidIdentityToken', 'No OpenIDConnect provider found'],
    [400, 'InvalidIdentityToken', 'HTTPS certificate doesn’t match'],
    [400, 'InvalidIdentityToken', 'something else'],
    [400, 'ExpiredTokenException', 'Token expired'],
    [403, 'AccessDenied', 'Not authorized'],
    [403, 'AccessDenied', ''],
    [404, 'NoSuchEntity', ''],
    [400, 'ValidationError', 'Request ARN is invalid'],
    [400, 'ValidationError', 'DurationSeconds exceeds the MaxSessionDuration'],
    [403, 'RegionDisabledException', ''],
    [418, 'Teapot', ''],
  ]
  const codes = ['ENOTFOUND', 'ECONNREFUSED', 'ABORT_ERR', 'CERT_HAS_EXPIRED', 'ECONNRESET']
  return [
    ...answers.map(([status, code, message]) =>
      describeStsError(subject, { status, code, message }, 'token'),
    ),
    ...codes.map((code) => describeUnreachable(subject.endpoint, Object.assign(new Error(code), { code }))),
  ]
}

/** What comes of answers that are no errors, and of a server that fails itself. */
async function fromExchanging(): Promise<readonly Said[]> {
  const clock = openTestClock()
  const answered = async (body: string) => {
    const http: HttpClient = { request: async () => ({ status: 200, headers: {}, body: Buffer.from(body) }) }
    const exchange = awsExchange({ issuer: { url: subject.issuer, mint: async () => 'token' }, http, clock })
    const result = await exchange(target, { signal })
    assert.ok(!result.ok)
    return result.failure
  }
  const expired =
    '<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId>' +
    '<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2020-01-01T00:00:00Z</Expiration>' +
    '</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>'
  const thrown = async (error: Error) => {
    const bell = openBell()
    const exchange: Exchange = async () => {
      throw error
    }
    const custody = {
      load: async () => undefined,
      save: async () => {},
      remove: async () => {},
      names: async () => [],
    }
    const changes = { credential: () => bell.ring() }
    const common = {
      clock,
      log: silentLog,
      random: () => 0,
      audit: { change: async () => {}, expectWritable: async () => {} },
    }
    await using exchanges = await openExchanges({ ...common, exchange, custody, changes })
    exchanges.require(new Map([['key', target]]))
    for (let heard = bell.rings; !exchanges.state('key')?.failure; heard = bell.rings)
      await bell.after(heard, signal)
    return exchanges.state('key')!.failure!
  }
  return [
    await answered('<html>'),
    await answered(expired),
    await answered(expired.replace('>t<', `>${'t'.repeat(10_000)}<`)),
    await thrown(new Error('a defect')),
    await thrown(new Fault('AUDIT_UNAVAILABLE', 'the audit trail cannot be written')),
  ]
}

async function fromProbing(): Promise<readonly Said[]> {
  const discovery = { issuer: subject.issuer, jwks_uri: `${subject.issuer}/jwks` }
  const found = async (published: object): Promise<Extract<Probe, { state: 'failed' }>> => {
    const answer = (url: URL): object => (url.pathname.endsWith('/jwks') ? { keys: [] } : published)
    const http: HttpClient = {
      request: async (url) => ({ status: 200, headers: {}, body: Buffer.from(JSON.stringify(answer(url))) }),
    }
    const issuer = { url: subject.issuer, discovery: () => discovery, jwks: () => ({ keys: [{ kid: 'k' }] }) }
    const changes = openBell()
    const common = { clock: openTestClock(), log: silentLog, random: () => 0 }
    await using probes = openProbes({ ...common, issuer, http, changes })
    probes.watch(new Set([subject.endpoint]))
    for (let heard = changes.rings; probes.discovery().state === 'pending'; heard = changes.rings)
      await changes.after(heard, signal)
    const probe = probes.discovery()
    assert.ok(probe.state === 'failed')
    return probe
  }
  return [await found({ issuer: 'https://other.example' }), await found(discovery)]
}

async function fromLoggingIn(): Promise<readonly Said[]> {
  const oidc = { issuer: 'http://127.0.0.1:1', audiences: ['known'] }
  const github = { clientID: 'c', requiredOrgs: [{ name: 'o' }] }
  const clientSecretRef = { name: 'github', key: 'secret' }
  const client = (name: string, identityProvider: string, clientID: string) =>
    makeObject('OIDCClient', name, {
      redirectUrls: ['http://127.0.0.1/'],
      native: {},
      identityProvider,
      clientID,
    })
  const provider = (name: string, spec: object, place = {}) =>
    makeObject('IdentityProvider', name, { name, ...spec }, place)
  const objects = objectsOf(
    provider('away', { oidc }),
    provider('there', { oidc: { ...oidc, issuer: 'https://there.example' } }),
    provider('bare', { github }),
    provider('lost', { github: { ...github, clientSecretRef: { ...clientSecretRef, name: 'lost' } } }),
    provider('github', { github: { ...github, clientSecretRef } }),
    provider('younger', { oidc: { ...oidc, usernamePrefix: 'away:x' } }),
    provider('static', { static: { email: 'a@example.org', name: 'a' } }),
    provider('elsewhere', { oidc }, { namespace: 'other' }),
    client('good', 'away', 'known'),
    client('stranger', 'away', 'unknown'),
    client('lonely', 'nobody', 'known'),
  )
  const clock = openTestClock()
  const cache = {
    list: <K extends Kind>(kind: K, namespace?: string) =>
      namespace === undefined
        ? [...objects.list(kind, 'riptides-system'), ...objects.list(kind, 'other')]
        : objects.list(kind, namespace),
    get: <K extends Kind>(kind: K, namespace: string, name: string) =>
      objects.list(kind, namespace).find(({ metadata }) => metadata.name === name),
    onChange: () => () => {},
  }
  const idTokens = openIdTokens({ cache, clock })
  const known = {
    ...idTokens,
    providers: () =>
      idTokens
        .providers()
        .map((item) =>
          item.object.metadata.name === 'there'
            ? { ...item, verifier: { ...item.verifier, probe: async () => {} } }
            : item,
        ),
  }
  const said: Said[] = []
  const all = Promise.withResolvers<void>()
  const stop = new AbortController()
  const running = openProviderStatus({
    idTokens: known,
    logins: { placesOf: (name) => ({ issuer: `https://x/${name}`, callback: `https://x/${name}/callback` }) },
    cache,
    resources: {
      secretData: async (_, name) => (name === 'github' ? new Map([['secret', Secret.of('s')]]) : undefined),
      async updateStatus(kind, namespace, name, next) {
        const object = cache.get(kind, namespace, name)!
        const status = (next as (object: unknown) => CommonStatus)(object)
        said.push(...status.conditions!.filter(({ type }) => type === 'Available'))
        if (said.length === 11) all.resolve()
        return object
      },
    },
    clock,
    log: silentLog,
  }).run({ signal: stop.signal })
  await all.promise
  stop.abort()
  await running
  return said
}

/** What the stream of a daemon writes, as its daemon comes, has something wrong, falls silent and goes. */
async function fromStreams(): Promise<Said[]> {
  const said: Said[] = []
  let status: StatusOf<'Daemon'> = {}
  const updateStatus = async (
    _: unknown,
    __: unknown,
    ___: unknown,
    next: (now: object) => typeof status,
  ) => {
    status = next({ status })
    said.push(...(status.conditions ?? []))
  }
  const daemon = openDaemonStatus({
    resources: { updateStatus } as never,
    clock: openTestClock(),
    log: silentLog,
    name: 'one',
    daemons: () => 1,
    signal,
  })
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  daemon.connected({ version: '1', captureDetail: 'all', metadata: {} } as never, 'process')
  await settled()
  daemon.observe({ daemonHealth: 'the attestor does not answer', captureHealth: 'ok' } as never)
  await settled()
  daemon.silent({ heardAt: 0, forMs: 3000 })
  await settled()
  await daemon.disconnected(0)
  return said
}

test('every reason says what it has to: what to do, or for what to wait', async () => {
  const said = [
    ...fromReconciling(),
    ...(await fromStreams()),
    ...fromTheCloud(),
    ...(await fromExchanging()),
    ...(await fromProbing()),
    ...(await fromLoggingIn()),
  ]
  const seen = new Set(said.map(({ reason }) => reason))
  assert.deepEqual([...seen].sort(), Object.keys(reasons).sort())
  assert.deepEqual(
    said.flatMap((condition) => faultsOf(condition, forms[reasons[condition.reason as Reason].needs])),
    [],
  )
})

test('what daemons report says what to do, of every type that they know, and of one that they do not', () => {
  const types = [...Object.keys(reportedTypes), 'OfAnotherVersion']
  for (const type of types) {
    // Their own words, where they say it themselves.
    const message = reportedTypes[type] && !reportedTypes[type].remedy ? 'it is so: set it' : 'it is so'
    const status = type === 'NotCapturable' ? 'True' : 'False'
    const conditions = [{ subject: 'Service/s3', type, status, reason: 'Any', message } as const]
    const streams = [streamOf('one', ok, { conditions })]
    const found: readonly Said[] = judged(s3, { streams }).filter((condition) => condition.type === type)
    assert.equal(found.length, 1)
    assert.deepEqual(faultsOf(found[0]!, forms.action), [])
  }
})

test('what nobody has looked at yet says that it takes a moment', () => {
  const { status } = withFirstStatus({ ...s3 }, 0) as typeof s3
  assert.deepEqual(faultsOf({ reason: 'new', message: status!.message! }, /takes less than a second/), [])
})
