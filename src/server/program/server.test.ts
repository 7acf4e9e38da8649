import assert from 'node:assert/strict'
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { resolveSettings } from '#base/settings'
import type { AuditRecord } from '#model/audit'
import { credentialId } from '#model/credential'
import { stsError, type StsMode } from './fake-sts.ts'
import { guideResources, namespacePath, openFakeDaemon, openRelay, openTestBed, spiffeId } from './fixture.ts'
import { checkSettings, serverSettings } from './index.ts'

const daemonId = 'riptides/daemon/one'

test('source and binding become AVAILABLE and OK, and the daemon gets exactly what it needs', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const resources = guideResources(bed.sts, daemonId)
  await server.apply({ credentialsources: resources.credentialsources })
  const source = await server.until('credentialsources', 'aws', ({ status }) => status?.state === 'AVAILABLE')
  assert.equal(source.status?.conditions?.find(({ type }) => type === 'Exchanged')?.status, 'Unknown')
  assert.equal(bed.sts.requests.length, 0)

  await server.apply({
    credentialbindings: resources.credentialbindings,
    services: resources.services,
    workloadidentitys: resources.workloadidentitys,
  })
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  const binding = await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  assert.deepEqual(binding.status?.daemons, [{ name: daemon.name, state: 'OK' }])
  const [credential] = [...daemon.scope().credentials.values()]
  assert.equal(credential?.spiffeId, spiffeId)
  assert.equal(credential && credentialId(credential.credential), binding.status?.credential?.id)
  assert.equal(bed.sts.requests.length, 1)
  assert.equal(bed.sts.requests[0]?.['RoleSessionName'], 'my-app=workload')
  await server.until('credentialsources', 'aws', ({ status }) =>
    status!.conditions!.some(({ type, status }) => type === 'Exchanged' && status === 'True'),
  )

  const audit = await readFile(join(bed.dataDir, 'audit', '0000000001.jsonl'), 'utf8')
  const records = audit
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditRecord)
  assert.ok(
    records.some(
      (record) =>
        record.type === 'change' &&
        record.verb === 'exchange' &&
        record.object === 'CredentialSource/aws' &&
        record.outcome === 'ok',
    ),
  )
})

test('a binding that comes first says what is missing, step by step, and heals', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const resources = guideResources(bed.sts, daemonId)
  const says = (pattern: RegExp) =>
    server.until('credentialbindings', 'binding', ({ status }) => pattern.test(status?.message ?? ''))
  await server.apply({ credentialbindings: resources.credentialbindings })
  assert.equal((await says(/WorkloadIdentity.*"my-app\/workload" not found/)).status?.state, 'PENDING')
  await server.apply({ workloadidentitys: resources.workloadidentitys })
  await server.until('workloadidentitys', 'workload', ({ status }) =>
    /scope matches no daemon/.test(status?.message ?? ''),
  )
  await says(/CredentialSource.*"aws" not found/)
  await server.apply({ credentialsources: resources.credentialsources })
  await says(/no Service.*\{"app":"bedrock"\}/)
  await server.apply({ services: resources.services })
  await says(/no connected daemon is in the scope/)
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  await server.until('workloadidentitys', 'workload', ({ status }) => status?.state === 'OK')
})

test('a binding is OK only after the daemon has put it into effect', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  daemon.hold()
  await server.apply(guideResources(bed.sts, daemonId))
  const waiting = await server.until('credentialbindings', 'binding', ({ status }) =>
    /waiting for daemon one/.test(status?.message ?? ''),
  )
  assert.equal(waiting.status?.state, 'PENDING')
  daemon.release()
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
})

test('a daemon that captures too weakly gets the binding but not the credential', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId, captureLevel: 'user' })
  context.after(() => daemon.close())
  await server.apply(guideResources(bed.sts, daemonId))
  const { status } = await server.until(
    'credentialbindings',
    'binding',
    ({ status }) => status?.state === 'FAILED',
  )
  assert.match(status!.message!, /demands capture level process, and one captures at level user/)
  assert.equal(status!.daemons![0]!.state, 'WITHHELD')
  await daemon.until(({ bindings }) => bindings.has('binding'))
  assert.equal(daemon.scope().credentials.size, 0)
})

test('a daemon sees nothing of the workloads of another', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const [mine, other] = await Promise.all(
    [daemonId, 'riptides/daemon/two'].map((workloadId) =>
      openFakeDaemon(server, bed.access!, { workloadId }),
    ),
  )
  context.after(() => Promise.all([mine!.close(), other!.close()]))
  await server.apply(guideResources(bed.sts, daemonId))
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  const { identities, services, bindings, credentials } = other!.scope()
  assert.deepEqual([identities.size, services.size, bindings.size, credentials.size], [0, 0, 0, 0])
})

test('a rotation replaces the credential without touching the binding', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  await server.apply(guideResources(bed.sts, daemonId))
  const before = await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  const path = `${namespacePath}/credentialbindings/binding/rotate`
  const [first, second] = await Promise.all([server.call('POST', path), server.call('POST', path)])
  const { id } = first.body as { id: string }
  assert.equal(first.status, 200)
  assert.notEqual(id, before.status?.credential?.id)
  assert.deepEqual(second.body, first.body)
  assert.equal(bed.sts.requests.length, 2)
  await daemon.until(({ credentials }) =>
    [...credentials.values()].some(({ credential }) => credentialId(credential) === id),
  )
  await server.until('credentialbindings', 'binding', ({ status }) => status?.credential?.id === id)

  bed.sts.mode = stsError(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
  const refused = await server.call('POST', path)
  assert.equal((refused.body as { failure: { reason: string } }).failure.reason, 'SubjectRefused')
  assert.equal((refused.body as { id: string }).id, id)
  const kept = await server.until('credentialbindings', 'binding', ({ status }) =>
    /its renewal fails/.test(status?.message ?? ''),
  )
  assert.equal(kept.status?.state, 'OK')
  assert.equal((await server.call('POST', `${namespacePath}/credentialbindings/no/rotate`)).status, 404)
})

test('a deleted binding takes its credential from daemon and store within a second', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  const resources = guideResources(bed.sts, daemonId)
  await server.apply(resources)
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  const started = performance.now()
  await server.call('DELETE', `${namespacePath}/credentialbindings/binding`)
  await daemon.until(({ bindings, credentials }) => bindings.size === 0 && credentials.size === 0)
  assert.ok(performance.now() - started < 1000)
  assert.equal(daemon.scope().identities.size, 1)
  await server.apply({ credentialbindings: resources.credentialbindings })
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  assert.equal(bed.sts.requests.length, 2)
})

test('what depends on a daemon follows as it falls silent, answers again and is deleted', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const relay = await openRelay(context, server.ready.nodeEndpoint)
  const options = { workloadId: daemonId, nodeEndpoint: relay.endpoint }
  const daemon = await openFakeDaemon(server, bed.access!, options)
  context.after(() => daemon.close())
  await server.apply(guideResources(bed.sts, daemonId))
  const isDaemon = (state: string) =>
    server.until('daemons', daemon.name, ({ status }) => status?.state === state)
  /** States of what depends on it; how late they are depends on the machine, and 16 s is what a stream has. */
  async function follow(scope: string, binding: 'OK' | 'PENDING') {
    const since = performance.now()
    await server.until('workloadidentitys', 'workload', ({ status }) =>
      status!.conditions!.some(({ reason }) => reason === scope),
    )
    await server.until('credentialbindings', 'binding', ({ status }) => status?.state === binding)
    assert.ok(performance.now() - since < 5_000)
  }
  await isDaemon('OK')
  await follow('Matched', 'OK')
  relay.cut()
  await isDaemon('DISCONNECTED')
  await follow('NotConnected', 'PENDING')
  relay.mend()
  await isDaemon('OK')
  await follow('Matched', 'OK')
  await server.call('DELETE', `${namespacePath}/daemons/${daemon.name}`)
  await follow('NoDaemon', 'PENDING')
})

test('a changed role drops the old credential at once', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
  context.after(() => daemon.close())
  await server.apply(guideResources(bed.sts, daemonId))
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  bed.sts.mode = { kind: 'drop' }
  const source = (await server.get('credentialsources', 'aws')) as unknown as { spec: { aws: object } }
  await server.call('PUT', `${namespacePath}/credentialsources/aws`, {
    ...source,
    // Whatever its version is: its state may just have been written.
    metadata: { name: 'aws' },
    spec: { aws: { ...source.spec.aws, roleArn: 'arn:aws:iam::123456789012:role/other' } },
  })
  await daemon.until(({ credentials }) => credentials.size === 0)
  assert.equal(daemon.scope().bindings.size, 1)
})

const role = 'arn:aws:iam::123456789012:role/my-role'
const anHourAgo = () => new Date(Date.now() - 3_600_000).toUTCString()
const refusals: [title: string, mode: StsMode, state: string, message: RegExp][] = [
  [
    'issuer not reachable from the cloud',
    stsError(400, 'InvalidIdentityToken', "Couldn't retrieve verification key from your identity provider"),
    'PENDING',
    /cannot fetch the keys of the issuer: make https:.*openid-configuration/,
  ],
  [
    'wrong audience',
    stsError(400, 'InvalidIdentityToken', 'Incorrect token audience'),
    'FAILED',
    /does not accept the audience sts\.amazonaws\.com/,
  ],
  [
    'no provider',
    stsError(400, 'InvalidIdentityToken', 'No OpenIDConnect provider found in your account for https://x'),
    'FAILED',
    /no IAM OIDC provider for this issuer/,
  ],
  [
    'subject not allowed',
    stsError(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity'),
    'FAILED',
    new RegExp(`trust policy of ${role}.*:sub" = "${spiffeId}"`),
  ],
  [
    'a refusal without a reason, as of Ceph',
    {
      kind: 'answer',
      status: 403,
      body: '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message></Message></Error>',
    },
    'FAILED',
    /gives no reason; check there that the trust policy of/,
  ],
  [
    'thumbprint',
    stsError(
      400,
      'InvalidIdentityToken',
      "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
    ),
    'FAILED',
    /does not accept the TLS certificate of the issuer/,
  ],
  [
    'clock skew',
    stsError(
      400,
      'ExpiredTokenException',
      'Token expired: current date/time must be before the expiration date/time',
      anHourAgo(),
    ),
    'FAILED',
    /clock of this server is \d{4} s ahead of the cloud's/,
  ],
  ['role not found', stsError(404, 'NoSuchEntity', 'no such role'), 'FAILED', /my-role was not found/],
  ['throttling', stsError(400, 'Throttling', 'Rate exceeded'), 'PENDING', /is limiting our requests/],
  ['an outage', stsError(503, 'ServiceUnavailable', ''), 'PENDING', /cannot answer at the moment/],
  ['a dropped connection', { kind: 'drop' }, 'PENDING', /cannot be reached \(ECONNRESET\)/],
  [
    'an answer that is no answer of STS',
    { kind: 'answer', status: 200, body: '<html><body>hello</body></html>' },
    'FAILED',
    /answered 200 without credentials/,
  ],
]

test('each refusal becomes a state and words to act on', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const { credentialsources, credentialbindings, ...others } = guideResources(bed.sts, daemonId)
  await server.apply(others)
  for (const [index, [title, mode, state, message]] of refusals.entries()) {
    await context.test(title, async () => {
      bed.sts.mode = mode
      const name = `source-${index}`
      await server.apply({
        credentialsources: { [name]: credentialsources.aws },
        credentialbindings: { binding: { ...credentialbindings.binding, credentialSource: name } },
      })
      const { status } = await server.until('credentialsources', name, ({ status }) =>
        status!.conditions!.some(({ type, status }) => type === 'Exchanged' && status === 'False'),
      )
      assert.equal(status?.state, state)
      assert.match(status.message!, message)
      const binding = await server.until('credentialbindings', 'binding', ({ status }) =>
        message.test(status?.message ?? ''),
      )
      assert.equal(binding.status?.state, state)
      for (const { WebIdentityToken } of bed.sts.requests) {
        assert.ok(!JSON.stringify([status, binding]).includes(WebIdentityToken!))
      }
      await server.call('DELETE', `${namespacePath}/credentialbindings/binding`)
    })
  }
})

test('endpoints that cannot be used say why before any binding', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start({ exchangeCa: undefined })
  const roleArn = role
  await server.apply({
    credentialsources: {
      untrusted: { aws: { roleArn, endpoint: bed.sts.url } },
      refused: { aws: { roleArn, endpoint: 'https://127.0.0.1:1' } },
    },
  })
  const message = async (name: string) =>
    (await server.until('credentialsources', name, ({ status }) => /127/.test(status?.message ?? ''))).status
      ?.message ?? ''
  assert.match(await message('untrusted'), /is not trusted .*--exchange-ca/)
  assert.match(await message('refused'), /nothing listens at/)
})

test('a wrong, open or missing sealing key is refused, and the right one finds everything in place', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  await first.apply(guideResources(bed.sts, daemonId))
  await first.stop()
  const file = join(bed.dataDir, 'sealing-key')
  const key = await readFile(file, 'utf8')
  await writeFile(file, `${Buffer.alloc(32, 7).toString('base64')}\n`)
  await assert.rejects(bed.start(), (error) => isFault(error, 'SEALING_KEY_WRONG'))
  await chmod(file, 0o644)
  await assert.rejects(bed.start(), (error) => isFault(error, 'SEALING_KEY_WRONG'))
  await rm(file)
  await assert.rejects(bed.start(), (error) => isFault(error, 'SEALING_KEY_MISSING'))
  await writeFile(file, key, { mode: 0o600 })
  const again = await bed.start()
  assert.equal((await again.get('services', 'bedrock')).metadata.name, 'bedrock')
})

test('a second server on the same data folder is refused, and the first goes on', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  await assert.rejects(bed.start(), (error) => isFault(error, 'STORE_UNAVAILABLE'))
  assert.equal((await server.call('GET', namespacePath + '/services')).status, 200)
})

test('a data folder keeps its trust domain', async (context) => {
  const bed = await openTestBed(context)
  await (await bed.start()).stop()
  await assert.rejects(bed.start({ trustDomain: 'other.org' }), (error) => isFault(error, 'SETTING_INVALID'))
})

test('health, readiness and metrics are served without a token', async (context) => {
  const bed = await openTestBed(context)
  const { ready } = await bed.start()
  const read = async (path: string) => {
    const response = await fetch(`${ready.healthUrl}${path}`)
    return [response.status, await response.text()] as const
  }
  assert.deepEqual(await read('/healthz'), [200, 'ok\n'])
  assert.deepEqual(await read('/readyz'), [200, 'ok\n'])
  const [, metrics] = await read('/metrics')
  assert.match(metrics, /^tideway_reconcile_duration_seconds_count \d+$/m)
  assert.equal((await read('/apis'))[0], 404)
})

test('a workload ID belongs to the namespace that had it first', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const { workloadidentitys } = guideResources(bed.sts, daemonId)
  await server.apply({ workloadidentitys })
  const { status, body } = await server.call(
    'POST',
    '/apis/core.riptides.io/v1alpha1/namespaces/other/workloadidentitys',
    {
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'WorkloadIdentity',
      metadata: { name: 'thief' },
      spec: workloadidentitys.workload,
    },
  )
  assert.equal(status, 422)
  assert.match(JSON.stringify(body), /belongs to namespace riptides-system/)
})

test('a join token becomes EXPIRED at its hour, without any other change', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const tokens = '/apis/auth.riptides.io/v1alpha1/namespaces/riptides-system/jointokens'
  await server.call('POST', tokens, {
    apiVersion: 'auth.riptides.io/v1alpha1',
    kind: 'JoinToken',
    metadata: { name: 'short' },
    spec: { token: 'a-token-of-enough-letters', expireAt: new Date(Date.now() + 1500).toISOString() },
  })
  const states = new Set<string>()
  const deadline = AbortSignal.timeout(15_000)
  while (!states.has('EXPIRED')) {
    assert.ok(!deadline.aborted, [...states].join())
    const { body } = await server.call('GET', `${tokens}/short`)
    const { state } = (body as { status?: { state?: string } }).status ?? {}
    if (state) states.add(state)
  }
  assert.deepEqual([...states], ['AVAILABLE', 'EXPIRED'])
})

test("an administrator's token that cannot be saved is not lost: the next start makes another", async (context) => {
  const bed = await openTestBed(context)
  bed.failToSave = true
  await assert.rejects(bed.start(), (error) => isFault(error, 'SETTING_INVALID'))
  bed.failToSave = false
  const server = await bed.start()
  assert.equal((await server.call('GET', namespacePath + '/services')).status, 200)
})

test('a lost token of the administrator is replaced by a start with the switch', async (context) => {
  const bed = await openTestBed(context)
  const first = await bed.start()
  const lost = bed.access!.token.revealText()
  await first.stop()
  const again = await bed.start({ resetAdminToken: true })
  assert.notEqual(bed.access!.token.revealText(), lost)
  assert.equal((await again.call('GET', namespacePath + '/services')).status, 200)
  assert.equal((await first.call('GET', again.ready.url + namespacePath + '/services')).status, 401)
  assert.throws(
    () =>
      checkSettings(
        resolveSettings(serverSettings, { flags: { resetAdminToken: true, adminContext: 'none' } }),
      ),
    (error) => isFault(error, 'SETTING_INVALID'),
  )
})
