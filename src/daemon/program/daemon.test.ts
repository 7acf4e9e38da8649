import assert from 'node:assert/strict'
import { once } from 'node:events'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { systemClock } from '#base/clock'
import { isFault } from '#base/errors'
import { Secret } from '#base/secret'
import { captureStatus, cgroupMount, probeCapture, releaseCapture } from '#daemon/capture'
import { openFakeControlPlane } from '#daemon/fake-control-plane'
import { canEnclose } from '#daemon/run'
import type { ScopedBinding } from '#model/scope'
import { asRoot, closed, commandLine, eventually, isApp, scopeWith, startDaemon } from './fixture.ts'
import { silenceLimitMs } from './worker-protocol.ts'

const limit = { timeout: 120_000, skip: closed }
const noCredential = /there is no credential yet for binding app-cloud/
const url = 'https://example.org/x'
const withoutNamespaces = canEnclose() ? false : 'user namespaces are refused here'
const override = ['--connect-to=example.org:443=127.0.0.1:9']

test('a command behind the explicit proxy is attested; a stranger passes', limit, async () => {
  await using daemon = await startDaemon('user')
  const upstream = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndirect'),
    )
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const { port } = upstream.address() as AddressInfo
  await daemon.apply(scopeWith(1, isApp, { host: '127.0.0.1', port }))
  const plain = `http://127.0.0.1:${port}/x`
  assert.match((await daemon.run('proxy', daemon.fetch(plain))).stdout, noCredential)
  const stranger = ['env', 'ROLE=another', ...daemon.fetch(plain).slice(2)]
  assert.equal((await daemon.run('proxy', stranger)).stdout, 'direct\n')
  upstream.close()
})

test(
  'a command in namespaces reaches the daemon without knowing it',
  { ...limit, skip: closed || withoutNamespaces },
  async (t) => {
    await using daemon = await startDaemon('user', override)
    await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
    await t.test('its requests are intercepted, its name resolved, the intercept CA trusted', async () => {
      assert.match((await daemon.run('namespaces', daemon.fetch(url))).stdout, noCredential)
    })
    await t.test('its exit code and the signal that ended it are passed on', async () => {
      assert.equal((await daemon.run('namespaces', ['sh', '-c', 'exit 7'])).code, 7)
      assert.equal((await daemon.run('namespaces', ['sh', '-c', 'kill -TERM $$'])).code, 143)
    })
    await t.test('it runs as its caller, without any capability', async () => {
      const { stdout } = await daemon.run('namespaces', ['sh', '-c', 'id -u; grep CapEff /proc/self/status'])
      assert.match(stdout, new RegExp(`^${asRoot ? 65_534 : process.getuid!()}\nCapEff:\t0+\n$`))
    })
    await t.test('it has no other way out', async () => {
      const control = `https://127.0.0.1:${daemon.server.url.port}`
      assert.equal((await daemon.run('namespaces', daemon.fetch(control))).stdout, 'ECONNREFUSED\n')
    })
    await t.test('auto chooses this mode', async () => {
      assert.match((await daemon.run('auto', daemon.fetch(url))).stdout, noCredential)
    })
  },
)

const withoutKernel = !asRoot || !probeCapture().available ? 'only root captures in the kernel' : false

test(
  'a first start that cannot join leaves nothing attached',
  { ...limit, skip: closed || withoutKernel },
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'tideway-first-'))
    const cgroup = mkdtempSync(join(cgroupMount(), 'tideway-first-'))
    t.after(() => {
      releaseCapture(`${folder}/run-bpf`)
      rmdirSync(join(cgroup, 'tideway-daemon'))
      rmdirSync(cgroup)
      rmSync(folder, { recursive: true })
    })
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, 'token'), 'x'.repeat(40))
    const program = resolve(import.meta.dirname, '../../../bin/tidewayd.ts')
    const settings = [`--run-dir=${folder}/run`, `--state-dir=${folder}/state`, `--attach-cgroup=${cgroup}`]
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [program, ...settings, '--server=https://127.0.0.1:1', `--join-token-file=${folder}/token`],
      { encoding: 'utf8' },
    )
    assert.equal(status, 1)
    assert.match(stderr, /joining https:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/)
    assert.match(stdout + stderr, /capture\.attached/)
    assert.equal(existsSync(`${folder}/run-bpf`), false)
  },
)

test(
  'a first start that joins keeps what it attached, until it is released',
  { ...limit, skip: closed || withoutKernel },
  async (t) => {
    const cgroup = mkdtempSync(join(cgroupMount(), 'tideway-first-'))
    t.after(() => {
      rmdirSync(join(cgroup, 'tideway-daemon'))
      rmdirSync(cgroup)
    })
    await using daemon = await startDaemon('root', [`--attach-cgroup=${cgroup}`])
    const children = `/proc/${daemon.child.pid}/task/${daemon.child.pid}/children`
    await eventually(() => {
      const pids = readFileSync(children, 'utf8').trim().split(' ')
      return !pids.some((pid) => commandLine(pid).includes('first-attachment'))
    })
    assert.equal(captureStatus(`${daemon.runDir}-bpf`).attached, true)
  },
)

test('a connection that names somebody else or nobody is closed', limit, async () => {
  await using daemon = await startDaemon('user')
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const facts = await daemon.call('GET', '/run')
  // We are in the daemon's own network namespace: no relay at all.
  const lines = ['TIDEWAY/1 127.0.0.1 1 127.0.0.1 2\n', 'GET / HTTP/1.1\r\n\r\n', 'x'.repeat(500)]
  for (const line of lines) {
    const socket = connect(facts['connectSocket'] as string)
    socket.on('error', () => {})
    socket.end(line)
    let received = ''
    socket.on('data', (chunk) => (received += String(chunk)))
    await new Promise((resolve) => socket.once('close', resolve))
    assert.equal(received, '')
  }
})

test('a process is explained, the bundle is there, unknown calls are refused', limit, async () => {
  await using daemon = await startDaemon('user')
  await daemon.apply(scopeWith(1, { 'process:binary:path': ['/usr/bin/curl'] }, { host: 'example.org' }))
  assert.ok(existsSync(daemon.bundle))
  const explanation = await daemon.call('POST', '/attest', { pid: daemon.child.pid })
  assert.equal(explanation['verdict'], 'stranger')
  const [app] = explanation['identities'] as { name: string; reasons: string[] }[]
  assert.equal(app?.name, 'app')
  assert.match(app.reasons[0]!, /^wants process:binary:path = "\/usr\/bin\/curl", it is "/)
  await assert.rejects(daemon.call('POST', '/attest', { pid: 'all' }), (error) =>
    isFault(error, 'WIRE_MALFORMED'),
  )
  await assert.rejects(daemon.call('GET', '/nothing'), (error) => isFault(error, 'KIND_UNKNOWN'))
  assert.equal((await daemon.call('GET', '/ready'))['ready'], true)
})

test('a credential that nobody renews is seen on its node and by the control plane', limit, async () => {
  const isNode = { 'process:binary:path': [realpathSync(process.execPath)] }
  await using daemon = await startDaemon('user')
  const { upsert, ...rest } = scopeWith(1, isNode, { host: 'example.org' })
  const [{ spiffeId, sourceName }] = upsert.bindings as [ScopedBinding]
  const now = systemClock.now()
  const lifetime = { issuedAt: now - 3_540_000, expiresAt: now + 60_000 }
  const credential = { kind: 'bearer', token: Secret.of('t'), ...lifetime } as const
  await daemon.apply({ ...rest, upsert: { ...upsert, credentials: [{ spiffeId, sourceName, credential }] } })
  const { conditions } = await daemon.call('POST', '/attest', { pid: daemon.child.pid })
  assert.partialDeepStrictEqual(conditions, [{ type: 'CredentialRenewed', reason: 'ExpiresSoon' }])
  await daemon.server.until(() =>
    daemon.server.reports.some(
      ({ body }) =>
        body.case === 'health' && body.value.conditions.some(({ type }) => type === 'CredentialRenewed'),
    ),
  )
})

test('a second daemon does not take the place of a first', limit, async () => {
  await using daemon = await startDaemon('user')
  const stateDir = join(daemon.folder, 'lib/state')
  // With a run folder of its own it would be in nobody's way, but for the identity of the node.
  for (const runDir of [daemon.runDir, join(daemon.folder, 'other')]) {
    const again = await daemon.as([
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, '../../../bin/tidewayd.ts'),
      `--run-dir=${runDir}`,
      `--state-dir=${stateDir}`,
      '--workers=1',
      '--log-level=error',
    ])
    assert.match(
      again.stderr,
      new RegExp(`another daemon \\(pid ${daemon.child.pid}\\) runs with ${stateDir}`),
    )
    assert.equal(again.code, 1)
  }
})

test(
  'another node does not start in the run folder of a daemon, nor change what is in it',
  limit,
  async () => {
    await using daemon = await startDaemon('user')
    await using server = await openFakeControlPlane()
    const tokenFile = join(daemon.folder, 'other-token')
    writeFileSync(tokenFile, server.token)
    const before = readFileSync(daemon.bundle, 'utf8')
    const again = await daemon.as([
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, '../../../bin/tidewayd.ts'),
      `--server=${server.url.href}`,
      `--ca-hash=${server.caHash}`,
      `--join-token-file=${tokenFile}`,
      `--run-dir=${daemon.runDir}`,
      `--state-dir=${join(daemon.folder, 'other')}`,
      '--workers=1',
      '--log-level=error',
    ])
    assert.match(again.stderr, /another daemon serves at /)
    assert.equal(again.code, 1)
    assert.equal(readFileSync(daemon.bundle, 'utf8'), before)
    assert.equal(server.calls.join, 0, 'its token is good for the next start')
  },
)

test('a daemon whose socket somebody removes, or takes, says so', limit, async () => {
  await using daemon = await startDaemon('user')
  const health = () =>
    daemon.server.reports
      .flatMap(({ body }) => (body.case === 'health' ? [body.value.daemonHealth] : []))
      .at(-1)
  const connectSocket = join(daemon.runDir, 'connect.sock')
  await daemon.server.until(() => health() === 'ok')
  rmSync(connectSocket)
  await daemon.server.until(() => health()!.includes(`${connectSocket} has been removed or replaced`))
  rmSync(join(daemon.runDir, 'daemon.sock'))
  writeFileSync(join(daemon.runDir, 'daemon.sock'), '')
  await daemon.server.until(() => health()!.includes('daemon.sock has been removed or replaced'))
})

test('a killed worker is replaced, and has the scope', limit, async () => {
  await using daemon = await startDaemon('user', override)
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const [before] = daemon.workers()
  process.kill(before!, 'SIGKILL')
  await eventually(() => !daemon.workers().includes(before!) && daemon.workers().length === 1)
  await eventually(async () => noCredential.test((await daemon.run('proxy', daemon.fetch(url))).stdout))
})

test('a worker that does not obey is killed, and what was withdrawn acknowledged', limit, async () => {
  await using daemon = await startDaemon('user')
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const [hung] = daemon.workers()
  process.kill(hung!, 'SIGSTOP')
  const began = performance.now()
  const { upsert, ...rest } = scopeWith(2, isApp, { host: 'example.org' })
  await daemon.apply({ ...rest, upsert: { ...upsert, bindings: [], services: [], identities: [] } })
  assert.ok(performance.now() - began < 1_500)
  await eventually(() => !daemon.workers().includes(hung!))
})

test('what is granted is acknowledged when somebody serves it', limit, async () => {
  await using daemon = await startDaemon('user', override)
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const [hung] = daemon.workers()
  process.kill(hung!, 'SIGSTOP')
  await daemon.apply(scopeWith(2, isApp, { host: 'example.org' }))
  assert.match((await daemon.run('proxy', daemon.fetch(url))).stdout, noCredential)
  assert.ok(!daemon.workers().includes(hung!))
})

test('workers die with a killed main process', limit, async () => {
  await using daemon = await startDaemon('user')
  const workers = daemon.workers()
  daemon.child.kill('SIGKILL')
  await eventually(() => workers.every((pid) => !existsSync(`/proc/${pid}`)))
})

test('a daemon ends when told to, whoever is connected', limit, async () => {
  await using daemon = await startDaemon('user')
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const silent = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const connected = once(silent, 'connection')
  const { port } = silent.address() as AddressInfo
  const answered = daemon.run('proxy', daemon.fetch(`http://127.0.0.1:${port}/`, 60_000))
  await connected
  daemon.child.kill('SIGTERM')
  assert.deepEqual(await once(daemon.child, 'exit'), [0, null])
  assert.doesNotMatch((await answered).stdout, /TimeoutError/)
  silent.close()
})

test('without a living main process a worker signs nothing', limit, async () => {
  await using daemon = await startDaemon('user', override)
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  const { proxy } = (await daemon.call('GET', '/run')) as { proxy: { host: string; port: number } }
  const env = {
    NODE_USE_ENV_PROXY: '1',
    HTTPS_PROXY: `http://${proxy.host}:${proxy.port}`,
    NODE_EXTRA_CA_CERTS: daemon.bundle,
  }
  const body = async () => (await daemon.as(daemon.fetch(url, 3_000), env)).stdout
  assert.match(await body(), noCredential)
  daemon.child.kill('SIGSTOP')
  assert.doesNotMatch(await body(), noCredential)
  daemon.child.kill('SIGCONT')
  await eventually(async () => noCredential.test(await body()))
})

/** Sends a request through a tunnel of the proxy, and another on the same connection once the file `go` is there. */
const twoRequests = `
  const { connect } = require('node:net')
  const { existsSync, writeFileSync } = require('node:fs')
  const [host, port, target, folder] = process.argv.slice(1)
  const socket = connect(Number(port), host)
  const request = 'GET /x HTTP/1.1\\r\\nHost: ' + target + '\\r\\n\\r\\n'
  const askAgain = () => existsSync(folder + '/go') ? socket.write(request) : setTimeout(askAgain, 20)
  const steps = [
    () => socket.write(request),
    () => { writeFileSync(folder + '/asked', ''); askAgain() },
    () => socket.destroy(),
  ]
  socket.write('CONNECT ' + target + ' HTTP/1.1\\r\\nHost: ' + target + '\\r\\n\\r\\n')
  socket.on('data', (bytes) => { console.log(String(bytes).split('\\r\\n')[0]); steps.shift()() })
  socket.on('error', () => {}).on('close', () => process.exit())`

test('a machine that stood still goes on where it was: nobody has been silent', limit, async () => {
  await using daemon = await startDaemon('user')
  const granted = scopeWith(1, isApp, { host: '127.0.0.1', port: 9 })
  const secret = Secret.of('x'.repeat(40))
  const issuedAt = systemClock.now()
  const times = { issuedAt, expiresAt: issuedAt + 3_600_000 }
  const parts = { accessKeyId: 'ASIATEST', secretAccessKey: secret, sessionToken: secret }
  const credential = { kind: 'aws', ...parts, ...times } as const
  const { spiffeId, sourceName } = granted.upsert.bindings[0]!
  await daemon.apply({
    ...granted,
    upsert: { ...granted.upsert, credentials: [{ spiffeId, sourceName, credential }] },
  })
  const { proxy } = (await daemon.call('GET', '/run')) as { proxy: { host: string; port: number } }
  const [node] = daemon.fetch('').filter((word) => word.startsWith('/'))
  const where = [proxy.host, String(proxy.port), '127.0.0.1:9', daemon.folder]
  const answers = daemon.as(['env', 'ROLE=app', node!, '-e', twoRequests, ...where])
  await eventually(() => existsSync(join(daemon.folder, 'asked')))
  const [worker] = daemon.workers()
  const all = [daemon.child.pid!, worker!]
  for (const pid of all) process.kill(pid, 'SIGSTOP')
  await systemClock.sleep(silenceLimitMs + 1_500)
  writeFileSync(join(daemon.folder, 'go'), '')
  // The worker first, so that it has to judge before it can have heard anything.
  for (const pid of all.toReversed()) process.kill(pid, 'SIGCONT')
  const { stdout } = await answers
  assert.equal(
    stdout,
    'HTTP/1.1 200 Connection established\nHTTP/1.1 501 Not Implemented\nHTTP/1.1 501 Not Implemented\n',
  )
  assert.deepEqual(daemon.workers(), [worker])
})

test('refusals are audited, and the records reach the control plane', limit, async () => {
  await using daemon = await startDaemon('user', override)
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  await daemon.run('proxy', daemon.fetch(url))
  await daemon.server.until(() => daemon.server.shipped.length > 0)
  const record = JSON.parse(daemon.server.shipped[0]!) as Record<string, unknown>
  assert.equal(record['type'], 'request.start')
  assert.equal(record['decision'], 'refused')
  assert.equal(record['identity'], 'app')
  assert.equal(record['executable'], realpathSync(process.execPath))
  assert.equal(record['path'], '/x')
})

test('when the lease has ended, the reason says so', limit, async () => {
  await using daemon = await startDaemon('user', override)
  daemon.server.behaviour.offlineLeaseSeconds = 1
  daemon.server.dropConnections()
  await daemon.server.until(() => daemon.server.calls.streams > 1)
  await daemon.apply(scopeWith(1, isApp, { host: 'example.org' }))
  await eventually(async () => /offline lease/.test((await daemon.run('proxy', daemon.fetch(url))).stdout))
})
