import assert from 'node:assert/strict'
import { createPublicKey, randomBytes, type KeyObject, type X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { connect } from 'node:tls'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type Client } from '@connectrpc/connect'
import { Fault, isFault } from '#base/errors'
import { parseSpiffeId } from '#model/identity'
import {
  createCertificateRequest,
  createRootCertificate,
  issueCertificate,
  parseCertificate,
  spiffeIdOf,
  type SubjectName,
} from '#model/pki'
import { defaultNamespace } from '#model/resource'
import type { Node, NodeReportSchema } from '#wire/proto'
import { makeKey, openTestServer } from './fixture.ts'

type Server = Awaited<ReturnType<typeof openTestServer>>
type Report = MessageInitShape<typeof NodeReportSchema>

const refusedWith = (code: Code) => (error: unknown) => {
  assert.ok(error instanceof ConnectError)
  assert.equal(error.code, code, error.message)
  return true
}
const notAuthorised = refusedWith(Code.PermissionDenied)
const hello: Report = {
  body: {
    case: 'hello',
    value: {
      version: '0.1.0',
      captureLevel: 'user',
      captureDetail: 'separates users',
      metadata: { 'tideway:connect-to': 'a.example:443=127.0.0.1:1' },
    },
  },
}
const health = (daemonHealth = 'ok'): Report => ({
  body: {
    case: 'health',
    value: {
      daemonHealth,
      captureHealth: 'ok',
      conditions: [{ subject: 'Service/a', type: 'Reachable', status: 'True', reason: 'Yes', message: '' }],
    },
  },
})

/** A daemon's end of its stream. */
function openStream(client: Client<typeof Node>) {
  const waiting: Report[] = []
  let wake = () => {}
  const over = new AbortController()
  async function* reports() {
    while (!over.signal.aborted) {
      const report = waiting.shift()
      if (report) yield report
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const messages = client.sync(reports())[Symbol.asyncIterator]()
  return {
    send(report: Report) {
      waiting.push(report)
      wake()
    },
    /** Kind of the next message: `lease` or `update`. */
    async next() {
      const { value, done } = await messages.next()
      return done ? undefined : value.body
    },
    async nextKind() {
      const { value, done } = await messages.next()
      return done ? undefined : value.body.case
    },
    end() {
      over.abort()
      wake()
    },
  }
}

async function openSynced(server: Server, spec: Parameters<Server['joined']>[0] = {}) {
  const daemon = await server.joined(spec)
  const client = server.connectAs(daemon)
  const stream = openStream(client)
  stream.send(hello)
  assert.equal(await stream.nextKind(), 'lease')
  assert.equal(await stream.nextKind(), 'update')
  return { ...daemon, client, stream }
}

/** The Daemon once its status is as wanted: statuses are written in the background. */
async function daemonWhere(
  server: Server,
  name: string,
  holds: (state: string, message: string, health: string | undefined) => boolean,
) {
  const { resources } = server
  const { items, resourceVersion } = await resources.list('Daemon')
  const wanted = ({ metadata, status = {} }: (typeof items)[number]) => {
    const { state = '', message = '', conditions = [] } = status
    const ready = conditions.find(({ type }) => type === 'Ready')
    assert.equal(ready?.status, state === 'OK' ? 'True' : 'False', `Ready while it is ${state}`)
    return metadata.name === name && holds(state, message, status.health?.daemonHealth)
  }
  const present = items.find(wanted)
  if (present) return present
  const signal = AbortSignal.timeout(5_000)
  for await (const events of resources.watch('Daemon', { fromRevision: resourceVersion, signal })) {
    for (const { object } of events) if (wanted(object)) return object
  }
  throw new Error('the status did not come')
}

function jsonLines(lines: readonly string[]): Uint8Array {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''))
}

describe('who may speak at the daemon port', () => {
  const probe = (client: Client<typeof Node>) => client.shipAudit({ recordsJsonl: Buffer.alloc(0) })

  it('is a daemon with its SVID', async () => {
    await using server = await openTestServer()
    const daemon = await server.joined()
    assert.equal((await probe(server.connectAs(daemon))).accepted, 0)
  })

  it('is nobody without a certificate or with a self-made one, whatever it claims', async () => {
    await using server = await openTestServer()
    const { response } = await server.joined()
    const key = makeKey()
    const profile = {
      commonName: 'Tideway example.org',
      serial: randomBytes(16),
      notBefore: server.clock.now() - 1000,
      notAfter: server.clock.now() + 100_000,
    }
    const names: SubjectName[] = [{ type: 'uri', value: response.spiffeId }]
    const root = createRootCertificate(key, profile)
    const forged = issueCertificate({ key, certificate: root }, createPublicKey(key), {
      ...profile,
      names,
      extendedUsages: ['clientAuth'],
    })
    for (const chain of [[], [forged], [forged, root]]) {
      await assert.rejects(probe(server.connect(key, chain)), ConnectError)
    }
    // The genuine certificate without its key is of no use either.
    const stolen = server.connect(key, response.chainDer.map(parseCertificate))
    await assert.rejects(async () => probe(stolen), Error)
  })

  it('is nobody whose certificate comes from its own intercept intermediate', async () => {
    await using server = await openTestServer()
    const { key, response, name } = await server.joined()
    const { chain } = await server.ca.issueIntermediate({
      daemonName: name,
      csrDer: createCertificateRequest(key),
      hosts: ['api.example.com'],
    })
    const forged = issueCertificate({ key, certificate: chain[0]! }, createPublicKey(key), {
      serial: randomBytes(16),
      notBefore: server.clock.now() - 1000,
      notAfter: server.clock.now() + 100_000,
      names: [{ type: 'uri', value: response.spiffeId }],
      extendedUsages: ['clientAuth'],
    })
    await assert.rejects(probe(server.connect(key, [forged, ...chain])), ConnectError)
  })

  it('is nobody with an SVID that is not a daemon’s', async () => {
    await using server = await openTestServer()
    const key = makeKey()
    const { chain } = await server.ca.issueSvid({
      spiffeId: parseSpiffeId('spiffe://example.org/my-app/workload'),
      csrDer: createCertificateRequest(key),
      ttlSeconds: 60,
    })
    await assert.rejects(probe(server.connect(key, chain)), notAuthorised)
  })

  it('is no daemon that was deleted, on no call and with no certificate', async () => {
    await using server = await openTestServer()
    const workloadID = 'riptides/daemon/web-1'
    const daemon = await server.joined({ workloadID })
    const client = server.connectAs(daemon)
    await probe(client)
    await server.resources.delete('Daemon', defaultNamespace, daemon.name)
    await assert.rejects(probe(client), notAuthorised)
    await assert.rejects(client.renewSvid({ csrDer: createCertificateRequest(daemon.key) }), notAuthorised)
    const successor = await server.joined({ workloadID })
    await assert.rejects(probe(client), notAuthorised, 'the old SVID does not speak for the new daemon')
    await probe(server.connectAs(successor))
  })

  it('is no daemon whose SVID has expired, on a connection that is still open', async () => {
    await using server = await openTestServer({ run: false })
    const client = server.connectAs(await server.joined())
    await probe(client)
    await server.clock.advance(3_600_000)
    await assert.rejects(probe(client), refusedWith(Code.InvalidArgument))
  })
})

describe('a daemon’s stream', () => {
  it('brings a lease at once and every three seconds, and updates as they come', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server, { daemonGroups: ['g/one'] })
    const { daemon, send } = server.following.get(name)!
    assert.deepEqual(daemon, {
      name,
      workloadId: `riptides/daemon/${name}`,
      groups: ['g/one'],
      captureLevel: 'user',
    })
    await server.clock.advance(3_000)
    const lease = await stream.next()
    assert.equal(lease?.case === 'lease' && lease.value.offlineLeaseSeconds, 900)
    const nothing = { identities: [], services: [], bindings: [], credentials: [] }
    send({ revision: 2, reset: false, upsert: nothing, remove: { ...nothing, bindings: ['b'] } })
    const update = await stream.next()
    assert.deepEqual(update?.case === 'update' && update.value.removedBindings, ['b'])
    stream.end()
  })

  it('carries acknowledgements and health, which show in the Daemon', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    stream.send({ body: { case: 'acknowledge', value: { revision: 1n, error: '' } } })
    stream.send({ body: { case: 'acknowledge', value: { revision: 2n, error: 'no' } } })
    const leftOut = { bindings: ['newer'] }
    stream.send({ body: { case: 'acknowledge', value: { revision: 3n, error: 'no', leftOut } } })
    stream.send(health())
    await daemonWhere(server, name, (state, message) => state === 'OK' && message === 'connected')
    stream.send(health('the attestor is gone'))
    const { status } = await daemonWhere(server, name, (state) => state === 'FAILED')
    assert.match(status!.message!, /^the attestor is gone: look at its log/)
    assert.equal(status?.captureLevel, 'user')
    assert.equal(status?.captureDetail, 'separates users')
    assert.deepEqual(status?.health?.daemonHealth, 'the attestor is gone')
    assert.deepEqual(status?.metadata, [{ name: 'tideway:connect-to', value: 'a.example:443=127.0.0.1:1' }])
    assert.deepEqual(server.acknowledged, [
      { daemonName: name, revision: 1, error: undefined, bindings: undefined },
      { daemonName: name, revision: 2, error: 'no', bindings: undefined },
      { daemonName: name, revision: 3, error: 'no', bindings: ['newer'] },
    ])
    assert.equal(server.observed.get(name)?.[0]?.type, 'Reachable')
    stream.end()
    await daemonWhere(server, name, (state) => state === 'DISCONNECTED')
  })

  it('must begin with an introduction', async () => {
    await using server = await openTestServer()
    const stream = openStream(server.connectAs(await server.joined()))
    stream.send(health())
    await assert.rejects(stream.next(), refusedWith(Code.InvalidArgument))
  })

  it('ends when the daemon falls silent', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    await server.clock.advance(17_000)
    await assert.rejects(async () => {
      while (await stream.nextKind());
    }, refusedWith(Code.Unavailable))
    await daemonWhere(server, name, (state) => state === 'DISCONNECTED')
    assert.equal(server.following.size, 0)
  })

  it('shows within seconds that nothing is heard of the daemon, since when, and that it is there again', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    const isWell = (state: string, message: string, health: string | undefined) =>
      state === 'OK' && message === 'connected' && health === 'ok'
    stream.send(health())
    await daemonWhere(server, name, isWell)
    server.pulse.isThere = false
    await server.clock.advance(1_000)
    const heardAt = server.clock.now() - 1_000
    await server.clock.advance(3_000)
    const gone = await daemonWhere(server, name, (state) => state === 'DISCONNECTED')
    assert.match(gone.status!.message!, /^nothing heard of it for 3 s: see whether its node is up/)
    assert.ok(Math.abs(Date.parse(gone.status!.lastSeenAt!) - heardAt) <= 1_000)
    assert.equal(gone.status!.health?.daemonHealth, 'unknown')
    stream.send(health())
    await daemonWhere(server, name, isWell)
    stream.end()
    const ended = await daemonWhere(server, name, (state) => state === 'DISCONNECTED')
    assert.match(ended.status!.message!, /^not connected: look at its log/)
    assert.equal(ended.status!.health?.daemonHealth, 'unknown')
  })

  it('says again how a daemon is that somebody else has taken for gone', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    stream.send(health('the attestor is gone'))
    await daemonWhere(server, name, (state) => state === 'FAILED')
    await server.resources.updateStatus('Daemon', defaultNamespace, name, ({ status }) => ({
      ...status,
      state: 'DISCONNECTED',
      message: 'not connected since its server has gone',
      health: { daemonHealth: 'unknown', driverHealth: 'unknown' },
    }))
    const { status } = await daemonWhere(server, name, (state) => state === 'FAILED')
    assert.equal(status!.health?.daemonHealth, 'the attestor is gone')
    stream.end()
    await daemonWhere(server, name, (state) => state === 'DISCONNECTED')
  })

  it('writes what a daemon said once the store takes it, be it the last word for long', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    stream.send(health())
    await daemonWhere(server, name, (_state, _message, health) => health === 'ok')
    const { store } = server
    const transaction = store.transaction.bind(store)
    const refused = Promise.withResolvers<void>()
    store.transaction = () => {
      store.transaction = transaction
      refused.resolve()
      return Promise.reject(new Fault('STORE_UNAVAILABLE', 'the store is away'))
    }
    stream.send(health('the attestor is gone'))
    await refused.promise
    // It sleeps by then.
    await server.clock.advance(0)
    await server.clock.advance(1_000)
    await daemonWhere(server, name, (state) => state === 'FAILED')
    stream.end()
  })

  it('leaves what is the next one of its name alone, should the server be slow to take away what was its own', async () => {
    await using server = await openTestServer()
    const { store, resources, ca } = server
    const workloadID = 'node/web'
    const { name } = await server.joined({ workloadID })
    const transaction = store.transaction.bind(store)
    const rejoined = Promise.withResolvers<Awaited<ReturnType<typeof server.joined>>>()
    const removed = Promise.withResolvers<void>()
    let isSlow = true
    store.transaction = async (compares, operations) => {
      const isRemoval = operations.some(({ type, key }) => type === 'delete' && key.endsWith(`/${name}`))
      if (!isRemoval || operations.some(({ key }) => key.includes('/registry/')))
        return await transaction(compares, operations)
      // As by another server on the same store, while this one hangs.
      if (isSlow) {
        isSlow = false
        rejoined.resolve(await server.joined({ workloadID }))
      }
      const outcome = await transaction(compares, operations)
      if (operations.some(({ key }) => key.includes('/node-keys/'))) removed.resolve()
      return outcome
    }
    await resources.delete('Daemon', 'riptides-system', name)
    const { key, response } = await rejoined.promise
    await removed.promise
    assert.equal((await server.recover(response.spiffeId, key)).daemonName, name)
    const root = await ca.interceptRoot(name)
    assert.deepEqual(root.raw, Buffer.from(response.interceptRootDer))
  })

  it('ends at once, refused, when the Daemon is deleted, and takes the intercept root along', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    const root = await server.ca.interceptRoot(name)
    await server.resources.delete('Daemon', defaultNamespace, name)
    await assert.rejects(async () => {
      while (await stream.nextKind());
    }, notAuthorised)
    assert.equal(server.following.size, 0)
    assert.notEqual((await server.ca.interceptRoot(name)).fingerprint256, root.fingerprint256)
  })

  it('ends when a newer one of the same daemon begins, and only then', async () => {
    await using server = await openTestServer()
    const first = await openSynced(server)
    const other = await openSynced(server)
    const again = openStream(server.connectAs(first))
    again.send(hello)
    assert.equal(await again.nextKind(), 'lease')
    await assert.rejects(async () => {
      while (await first.stream.nextKind());
    }, refusedWith(Code.Aborted))
    await server.clock.advance(3_000)
    assert.equal(await other.stream.nextKind(), 'lease')
    const { status } = (await server.resources.get('Daemon', defaultNamespace, first.name))!
    assert.equal(status?.state, 'OK')
  })

  it('begins anew when the groups of the Daemon change', async () => {
    await using server = await openTestServer()
    const { stream, name } = await openSynced(server)
    await server.resources.patch('Daemon', defaultNamespace, name, {
      type: 'merge',
      document: { spec: { daemonGroups: ['g/new'] } },
    })
    await assert.rejects(async () => {
      while (await stream.nextKind());
    }, refusedWith(Code.Aborted))
  })

  // The SVID expires before the silence of these daemons would end the stream.
  async function passLeases(server: Server, stream: ReturnType<typeof openStream>, count: number) {
    for (let passed = 0; passed < count; passed++) {
      await server.clock.advance(3_000)
      assert.equal(await stream.nextKind(), 'lease')
    }
  }

  it('ends when the SVID under which it was opened expires', async () => {
    await using server = await openTestServer({ run: false, svidTtlSeconds: 14 })
    const { stream } = await openSynced(server)
    await passLeases(server, stream, 4)
    // And not with the next lease, a second later.
    await server.clock.advance(2_000)
    await assert.rejects(stream.next(), refusedWith(Code.InvalidArgument))
  })

  it('ends at once when the clock is set to beyond that', async () => {
    await using server = await openTestServer({ run: false, svidTtlSeconds: 14 })
    const { stream } = await openSynced(server)
    await server.clock.set(60_000)
    await assert.rejects(stream.next(), refusedWith(Code.InvalidArgument))
  })

  it('goes on when the daemon has renewed its SVID', async () => {
    await using server = await openTestServer({ run: false, svidTtlSeconds: 14 })
    const { stream, client, key } = await openSynced(server)
    await passLeases(server, stream, 3)
    await client.renewSvid({ csrDer: createCertificateRequest(key) })
    await passLeases(server, stream, 2)
    stream.end()
  })
})

describe('the daemon port itself', () => {
  it('proves the server’s SPIFFE ID, with a certificate that is renewed', async () => {
    await using server = await openTestServer()
    async function presented(): Promise<X509Certificate> {
      const socket = connect({
        port: server.node.port,
        host: '127.0.0.1',
        ALPNProtocols: ['h2'],
        // The test's clock runs ahead of the one that TLS looks at.
        rejectUnauthorized: false,
      })
      await once(socket, 'secureConnect')
      const certificate = socket.getPeerX509Certificate()!
      socket.destroy()
      return certificate
    }
    const first = await presented()
    assert.equal(spiffeIdOf(first), 'spiffe://example.org/tideway/server')
    assert.ok(first.verify(server.ca.bundle()[0]!.publicKey))
    for (let hour = 0; hour < 13; hour++) await server.clock.advance(3_600_000)
    const second = await presented()
    assert.notEqual(second.serialNumber, first.serialNumber)
    assert.equal(spiffeIdOf(second), spiffeIdOf(first))
    await server.clock.set(-86_400_000)
    assert.ok((await presented()).validFromDate.getTime() < server.clock.now(), 'valid now')
  })
})

describe('the daemon port where another program has it', () => {
  it('is a setting to be changed', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port: nodePort } = taken.address() as AddressInfo
    await assert.rejects(openTestServer({ nodePort }), (error) => {
      assert.ok(isFault(error, 'SETTING_INVALID'))
      assert.match(error.message, /^daemons cannot be served on 127\.0\.0\.1:\d+: .*EADDRINUSE/)
      assert.match(error.hint ?? '', /--node-listen/)
      return true
    })
    taken.close()
  })
})

describe('what a daemon may ask for', () => {
  const csr = (key: KeyObject = makeKey()) => createCertificateRequest(key)

  it('is a new SVID for its own key', async () => {
    await using server = await openTestServer()
    const daemon = await server.joined()
    const client = server.connectAs(daemon)
    const renewed = await client.renewSvid({ csrDer: csr(daemon.key) })
    assert.equal(renewed.spiffeId, daemon.response.spiffeId)
    await assert.rejects(client.renewSvid({ csrDer: csr() }), notAuthorised)
  })

  it('is an intermediate for hosts that are bound in its scope, and for no other', async () => {
    await using server = await openTestServer()
    const [one, two] = [await server.joined(), await server.joined()]
    server.bound.set(one.name, ['api.example.com', '*.s3.example.org'])
    server.bound.set(two.name, ['other.example.com'])
    const client = server.connectAs(one)
    const { chainDer } = await client.issueIntermediate({
      csrDer: csr(),
      hosts: ['api.example.com', '*.s3.example.org'],
    })
    const [intermediate, root] = chainDer.map(parseCertificate)
    assert.ok(intermediate!.verify(root!.publicKey))
    assert.deepEqual(root!.raw, Buffer.from(one.response.interceptRootDer))
    for (const hosts of [['other.example.com'], ['api.example.com', 'evil.example'], ['x.s3.example.org']]) {
      await assert.rejects(client.issueIntermediate({ csrDer: csr(), hosts }), notAuthorised)
    }
    assert.equal(server.changes.filter(({ outcome }) => outcome === 'refused').length, 3)
  })

  it('is to ship records under its own name, and none in the name of the control plane', async () => {
    await using server = await openTestServer()
    const daemon = await server.joined()
    const record = { type: 'request.end', id: '1', at: '2026-01-01T00:00:00.000Z', node: 'somebody-else' }
    const change = { type: 'change', id: '2', at: record.at, actor: 'system:admin', verb: 'delete' }
    const records = [record, change].map((value) => JSON.stringify(value))
    const { accepted } = await server.connectAs(daemon).shipAudit({
      recordsJsonl: jsonLines([...records, 'noise', '\0\0', `"${'x'.repeat(40_000)}"`]),
    })
    assert.equal(accepted, 1)
    assert.deepEqual(server.shipped, [{ ...record, node: daemon.name }])
  })

  it('is bounded in size and in rate', async () => {
    await using server = await openTestServer()
    const daemon = await server.joined()
    const client = server.connectAs(daemon)
    const large = jsonLines(Array<string>(200).fill('x'.repeat(30_000)))
    await assert.rejects(client.shipAudit({ recordsJsonl: large }), refusedWith(Code.ResourceExhausted))
    const many = jsonLines(Array<string>(10_001).fill('{}'))
    await assert.rejects(client.shipAudit({ recordsJsonl: many }), refusedWith(Code.InvalidArgument))
    const csrDer = csr(daemon.key)
    const codes: Code[] = []
    for (let i = 0; i < 62; i++) {
      await client.renewSvid({ csrDer }).catch((error: ConnectError) => codes.push(error.code))
    }
    assert.deepEqual(codes, [Code.ResourceExhausted, Code.ResourceExhausted])
  })
})
