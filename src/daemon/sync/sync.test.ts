import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { silentLog } from '#base/log'
import { parseSpiffeId } from '#model/identity'
import { follow, openSetting, update } from './fixture.ts'
import {
  boundHosts,
  openIntermediateKeeper,
  openLease,
  openNode,
  runShipping,
  type Intermediate,
  type NodeSettings,
} from './index.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')

test('a node joins once; its key is for it alone and nothing secret is in its record', async (t) => {
  const { server, stateDir, settings } = await openSetting(t)
  const node = await openNode(settings)
  assert.equal(node.daemonName, 'test')
  assert.equal((await stat(join(stateDir, 'node.key'))).mode & 0o777, 0o600)
  assert.doesNotMatch(await readFile(join(stateDir, 'node.json'), 'utf8'), /PRIVATE KEY/)
  const again = await openNode({ ...settings, readJoinToken: () => assert.fail('joined already') })
  assert.equal(again.spiffeId, node.spiffeId)
  assert.equal(server.calls.join, 1)
})

test('a state folder that is damaged is refused with what to do', async (t) => {
  const { stateDir, settings } = await openSetting(t)
  await openNode(settings)
  const [keyFile, recordFile] = [join(stateDir, 'node.key'), join(stateDir, 'node.json')]
  const [key, record] = [await readFile(keyFile, 'utf8'), await readFile(recordFile, 'utf8')]
  const refuses = (told: RegExp) =>
    assert.rejects(
      openNode(settings),
      (error) =>
        isFault(error, 'SETTING_INVALID') &&
        told.test(error.message) &&
        /join again with a new join token/.test(error.hint ?? ''),
    )
  await rm(keyFile)
  await refuses(/not the key that the node joined with/)
  await writeFile(keyFile, key.slice(0, 60))
  await refuses(/holds no private key/)
  await writeFile(keyFile, key)
  await writeFile(recordFile, record.replace(/("nodeEndpoint": ").*"/, '$1not a host"'))
  await refuses(/damaged: nodeEndpoint/)
  await writeFile(recordFile, record.slice(0, 100))
  await refuses(/damaged/)
  await writeFile(recordFile, record)
  await openNode(settings)
})

test('a server with another CA than the pinned one gets no token', async (t) => {
  const { server, settings } = await openSetting(t)
  const caHash = `sha256:${'0'.repeat(64)}`
  await assert.rejects(openNode({ ...settings, caHash }), (error) => isFault(error, 'CERTIFICATE_INVALID'))
  await assert.rejects(
    openNode({ ...settings, caHash: undefined }),
    (error) => isFault(error, 'SERVER_UNREACHABLE') && /give --ca-hash/.test(error.hint ?? ''),
  )
  assert.equal(server.calls.join, 0)
})

test('a used token is refused with what to do', async (t) => {
  const { settings, stateDir } = await openSetting(t)
  await openNode(settings)
  await rm(join(stateDir, 'node.json'))
  await assert.rejects(
    openNode(settings),
    (error) => isFault(error, 'JOIN_REFUSED') && /tideway node token create/.test(error.hint ?? ''),
  )
})

test('the SVID is renewed at half of its life', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  run((options) => node.run(options))
  for (let minutes = 0; minutes < 28; minutes++) {
    await clock.untilArmed()
    await clock.advance(60_000)
  }
  assert.equal(server.calls.renew, 0)
  const renewed = server.until(() => server.calls.renew > 0)
  for (let minutes = 0; minutes < 3; minutes++) await clock.advance(60_000)
  await renewed
})

test('a node whose clock runs ahead does not ask for one certificate after the other', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  // Past half of the life of whatever the server issues, and not past its end.
  await clock.advance(45 * 60_000)
  run((options) => node.run(options))
  const renewed = server.until(() => server.calls.renew > 0)
  for (let looks = 0; looks < 20; looks++) {
    await clock.untilArmed()
    await clock.advance(10)
  }
  await renewed
  assert.equal(server.calls.renew, 1)

  await clock.advance(2 * 86_400_000)
  const issued: Intermediate[] = []
  const onIssued = async (all: readonly Intermediate[]) => void issued.push(...all)
  const keeper = openIntermediateKeeper({ node, onIssued, clock, log: silentLog, random: () => 0 })
  keeper.setHosts(['a.example.org'])
  const asked = server.until(() => server.intermediates.length > 0)
  run((options) => keeper.run(options))
  await asked
  for (let looks = 0; looks < 20; looks++) {
    await clock.untilArmed(2)
    await clock.advance(10)
  }
  assert.equal(server.intermediates.length, 1)
})

test('an expired SVID is recovered by the node key', async (t) => {
  const { server, settings, clock } = await openSetting(t)
  const node = await openNode(settings)
  await node.ensureSvid()
  assert.equal(server.calls.recover, 0)
  await clock.advance(3_700_000)
  await node.ensureSvid()
  assert.equal(server.calls.recover, 1)
  server.behaviour.refusing = true
  await clock.advance(86_400_000)
  await assert.rejects(node.ensureSvid(), (error) => isFault(error, 'NODE_REFUSED'))
})

test('updates are applied in order and acknowledged, a failure with its reason', async (t) => {
  const setting = await openSetting(t)
  const { server } = setting
  const node = await openNode(setting.settings)
  const { applied, acknowledged, failWith } = follow(setting, node, openLease(setting.clock))
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  assert.equal(server.reports[0]!.body.case, 'hello')
  server.send(update(1))
  server.send(update(2))
  await server.until(() => acknowledged().length === 2)
  failWith(new Error('a worker hangs'))
  server.send(update(3))
  await server.until(() => acknowledged().length === 3)
  assert.deepEqual(applied, [1, 2])
  assert.deepEqual(acknowledged(), [
    { revision: 1, error: '' },
    { revision: 2, error: '' },
    { revision: 3, error: 'a worker hangs' },
  ])
})

test('what is new is reported within a quarter of a second, and once; the rest every five seconds', async (t) => {
  const setting = await openSetting(t)
  const { server, clock } = setting
  const node = await openNode(setting.settings)
  const { board } = follow(setting, node, openLease(clock))
  const said = () =>
    server.reports.flatMap(({ body }) =>
      body.case === 'health' ? [body.value.conditions.map(({ type }) => type).join()] : [],
    )
  await server.until(() => said().length === 1)
  const condition = { subject: 'service/s3', status: 'False', reason: 'Any', message: '' } as const
  const quarter = async () => {
    await clock.untilArmed(2) // the next look, and the watch over the server's silence
    await clock.advance(250)
  }
  board.conditions = [{ ...condition, type: 'One' }]
  board.conditions = [...board.conditions, { ...condition, type: 'Two' }]
  const news = server.until(() => said().length === 2)
  await quarter()
  await news
  // A heartbeat follows five seconds after what was said last.
  const heartbeat = server.until(() => said().length === 3)
  for (let quarters = 0; quarters < 20; quarters += 1) await quarter()
  await heartbeat
  assert.deepEqual(said(), ['', 'One,Two', 'One,Two'])
})

test('a lost connection is taken up again, within a second that many daemons share out among them', async (t) => {
  const setting = await openSetting(t)
  const { server, clock } = setting
  const node = await openNode(setting.settings)
  const pauses: number[] = []
  const watched = {
    ...clock,
    sleep: (ms: number, options?: Parameters<TestClock['sleep']>[1]) => {
      pauses.push(ms)
      return clock.sleep(ms, options)
    },
  }
  follow({ ...setting, clock: watched }, node, openLease(clock), () => 0.25)
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  server.dropConnections()
  const again = server.until(() => server.calls.streams === 2)
  // Whichever sleeps now, the report or the pause: both are over after five seconds.
  for (let i = 0; server.calls.streams < 2 && i < 1000; i++) {
    await clock.untilArmed()
    await clock.advance(200)
  }
  await again
  assert.ok(pauses.includes(750))
})

test('a server that has fallen silent is given up and asked again', async (t) => {
  const setting = await openSetting(t)
  const { server, clock } = setting
  const node = await openNode(setting.settings)
  follow(setting, node, openLease(clock))
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  const again = server.until(() => server.calls.streams === 2)
  for (let second = 0; server.calls.streams < 2 && second < 1000; second++) {
    await clock.untilArmed()
    await clock.advance(1_000)
  }
  await again
})

test('a server that hangs, from the start or later, is left for another one of its name', async (t) => {
  const setting = await openSetting(t, { nodeHost: 'servers.example.org' })
  const { server, clock } = setting
  const seen = { attempts: 0, hanging: 0 }
  const other = createServer(() => seen.hanging++).listen(server.nodePort, '127.0.0.2')
  await once(other, 'listening')
  t.after(() => other.close())
  const addresses = ['127.0.0.2', '127.0.0.1'].map((address) => ({ address, family: 4 }))
  const resolve: NodeSettings['resolve'] = (_name, _options, callback) => {
    seen.attempts++
    callback(null, addresses)
  }
  const node = await openNode({ ...setting.settings, resolve })
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  /** Lets time pass until it connects anew; what it does then takes none. */
  const untilAttempt = async (count: number) => {
    const since = clock.monotonic()
    for (; seen.attempts < count; await turn()) await clock.advance(100)
    return clock.monotonic() - since
  }
  const untilHanging = async (count: number) => {
    while (seen.hanging < count) await turn()
  }
  follow(setting, node, openLease(clock))
  await untilHanging(1)
  assert.ok((await untilAttempt(2)) < 5_000)
  await server.until(() => server.reports.length > 0)
  assert.ok((await untilAttempt(3)) < 11_000)
  await untilHanging(2)
  assert.ok((await untilAttempt(4)) < 5_000)
  await server.until(() => server.calls.streams === 2)
})

test('a refusal by the server ends the lease at once', async (t) => {
  const setting = await openSetting(t)
  const { server, clock, run } = setting
  const node = await openNode(setting.settings)
  const lease = openLease(clock)
  let ends = 0
  run((options) => lease.run({ ...options, onEnd: () => ends++ }))
  const { refused } = follow(setting, node, lease)
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  server.send(update(1))
  while (lease.remainingMs() === 0) await new Promise((resolve) => setImmediate(resolve))
  server.behaviour.refusing = true
  server.dropConnections()
  for (let i = 0; refused.count === 0 && i < 1000; i++) {
    await clock.untilArmed()
    await clock.advance(200)
  }
  assert.ok(refused.count > 0)
  assert.equal(lease.remainingMs(), 0)
  assert.equal(ends, 1)
})

test('a lease runs by time that nobody sets, and ends once', async (t) => {
  const { clock, run } = await openSetting(t)
  const lease = openLease(clock)
  let ends = 0
  run((options) => lease.run({ ...options, onEnd: () => ends++ }))
  assert.equal(lease.remainingMs(), 0)
  lease.extend(10)
  await clock.untilArmed()
  await clock.advance(9_000)
  assert.equal(lease.remainingMs(), 1_000)
  lease.extend(10)
  await clock.advance(9_000)
  assert.equal(ends, 0)
  await clock.advance(1_000)
  assert.equal(ends, 1)
  await clock.advance(60_000)
  assert.equal(ends, 1)
})

test('a lease runs while the machine sleeps, and no longer where its clock is set back', async (t) => {
  const { clock, run } = await openSetting(t)
  const lease = openLease(clock)
  let ends = 0
  run((options) => lease.run({ ...options, onEnd: () => ends++ }))
  lease.extend(10)
  await clock.untilArmed()
  await clock.set(-3_600_000)
  assert.equal(lease.remainingMs(), 10_000)
  await clock.advance(10_000)
  assert.equal(ends, 1)
  lease.extend(10)
  await clock.set(4_000)
  assert.equal(lease.remainingMs(), 6_000)
  await clock.set(3_600_000)
  assert.equal(ends, 2)
  assert.equal(lease.remainingMs(), 0)
})

test('an SVID that is due when the machine wakes up is renewed at once', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  run((options) => node.run(options))
  await clock.untilArmed()
  const renewed = server.until(() => server.calls.renew > 0)
  await clock.set(40 * 60_000)
  await renewed
})

test('the intermediate follows the bound hosts', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  const issued: Intermediate[] = []
  const keeper = openIntermediateKeeper({
    node,
    onIssued: async (all) => void issued.push(...all),
    clock,
    log: silentLog,
    random: () => 0,
  })
  run((options) => keeper.run(options))
  keeper.setHosts(['a.example.org'])
  await keeper.untilFit()
  keeper.setHosts(['a.example.org', 'b.example.org'])
  await keeper.untilFit()
  assert.deepEqual(server.intermediates, [['a.example.org'], ['a.example.org', 'b.example.org']])
  assert.ok(issued[1]!.chain[0]!.checkPrivateKey(issued[1]!.key))
  assert.equal(issued[1]!.chain[1]!.raw.compare(node.interceptRoot.raw), 0)
})

test('many hosts have several intermediates, none too long for clients, and a change concerns one of them', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  let present: readonly Intermediate[] = []
  const keeper = openIntermediateKeeper({
    node,
    onIssued: async (all) => void (present = all),
    clock,
    log: silentLog,
    random: () => 0,
  })
  run((options) => keeper.run(options))
  const hosts = Array.from({ length: 1_000 }, (_, index) => `bucket-${index}.s3.eu-central-1.amazonaws.com`)
  const named = () => present.flatMap(({ hosts }) => hosts).sort()
  keeper.setHosts(hosts)
  await keeper.untilFit()
  assert.deepEqual(named(), hosts.toSorted())
  for (const { chain } of present) assert.ok(chain[0]!.raw.length < 30 * 1024)
  assert.deepEqual([present.length, server.intermediates.length], [4, 4])

  const before = present
  keeper.setHosts([...hosts, 'new.example.org'])
  await keeper.untilFit()
  assert.equal(present.filter((one) => !before.includes(one)).length, 1)
  assert.equal(server.intermediates.length, 5)

  // What has no hosts any more is not there any more, and costs no other.
  const [first] = present
  keeper.setHosts(first!.hosts)
  while (present.length > 1) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(present[0], first)
  assert.equal(server.intermediates.length, 5)
})

test('all calls share one connection, and open another when the SVID is a new one', async (t) => {
  const setting = await openSetting(t)
  const { server, settings, clock, run } = setting
  const node = await openNode(settings)
  follow(setting, node, openLease(clock))
  await server.until(() => server.reports.length > 0)
  const keeper = openIntermediateKeeper({
    node,
    onIssued: async () => {},
    clock,
    log: silentLog,
    random: () => 0,
  })
  run((options) => keeper.run(options))
  keeper.setHosts(['a.example.org'])
  await keeper.untilFit()
  assert.deepEqual([server.intermediates.length, server.calls.connections], [1, 1])

  await clock.advance(3_700_000)
  await node.ensureSvid()
  const before = server.calls.connections
  await node.connection().client.shipAudit({ recordsJsonl: new Uint8Array() })
  await node.connection().client.shipAudit({ recordsJsonl: new Uint8Array() })
  assert.equal(server.calls.connections, before + 1)
})

test('bound hosts are those that bindings reach, once each', () => {
  const services = new Map([
    ['s3', { name: 's3', addresses: [{ host: 's3.example.org' }, { host: 'b.s3.example.org', port: 443 }] }],
    ['unbound', { name: 'unbound', addresses: [{ host: 'nobody.example.org' }] }],
  ])
  const binding = {
    spiffeId,
    sourceName: 'aws',
    minimumCapture: 'user',
    allowCredentialIssuance: false,
  } as const
  const bindings = new Map([
    ['one', { ...binding, name: 'one', serviceNames: ['s3', 'missing'] }],
    ['two', { ...binding, name: 'two', serviceNames: ['s3'] }],
  ])
  const scope = { identities: new Map(), services, bindings, credentials: new Map() }
  assert.deepEqual(boundHosts(scope), ['b.s3.example.org', 's3.example.org'])
})

test('audit records are shipped again until the server has them', async (t) => {
  const { server, settings, clock, run } = await openSetting(t)
  const node = await openNode(settings)
  server.behaviour.failingAudit = true
  let committed = 0
  const batches = [['{"id":"a"}'], ['{"id":"b"}', '{"id":"c"}']]
  const reader = {
    next: async () => {
      const batch = batches[committed]?.map((line) => `${line}\n`).join('')
      if (batch === undefined) return undefined
      return { lines: Buffer.from(batch), more: committed === 0, commit: () => void committed++ }
    },
  }
  run(({ signal }) => runShipping({ node, reader, clock, log: silentLog, random: () => 0, signal }))
  await clock.untilArmed() // the pause after the first failure
  assert.equal(committed, 0)
  server.behaviour.failingAudit = false
  await clock.advance(500)
  await server.until(() => server.shipped.length === 3)
  assert.deepEqual(server.shipped, batches.flat())
})
