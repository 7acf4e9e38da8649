import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { cgroupMount, probeCapture, releaseCapture } from '#daemon/capture'
import { canEnclose } from '#daemon/run'
import { parseSpiffeId } from '#model/identity'
import { commandLine, eventually, scopeWith, startDaemon } from '../../src/daemon/program/fixture.ts'
import { pinDirectoryOf } from '../../src/daemon/program/paths.ts'

const options = { timeout: 60_000 }
const noCredential = /there is no credential yet for binding app-cloud/
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ndirect\n'

/** A plain-text service on loopback, and a cgroup whose processes alone are captured. */
async function openPlace() {
  const cgroup = join(cgroupMount(), `tideway-test-${process.pid}-${Date.now()}`)
  mkdirSync(cgroup)
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const curl = async (binary = 'curl', user = 0) => {
    const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    const drop = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--']
    const request = [binary, '-sS', '--max-time', '5', `http://127.0.0.1:${port}/`]
    const child = spawn('/bin/sh', ['-c', enter, cgroup, ...drop, ...request], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ended = once(child, 'close')
    const stdout = await text(child.stdout)
    await ended
    return { stdout, code: child.exitCode }
  }
  return {
    cgroup,
    address: { host: '127.0.0.1', port },
    curl,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const name of readdirSync(cgroup, { withFileTypes: true })) {
        if (name.isDirectory()) await eventually(() => isRemoved(join(cgroup, name.name)))
      }
      await eventually(() => isRemoved(cgroup))
    },
  }
}

/** A cgroup can go once its last process has been reaped. */
function isRemoved(cgroup: string): boolean {
  try {
    rmdirSync(cgroup)
    return true
  } catch {
    return !existsSync(cgroup)
  }
}

const startCapturing = (cgroup: string) =>
  startDaemon('root', ['--capture=kernel', `--attach-cgroup=${cgroup}`, '--capture-port=0'])

const bash = realpathSync('/bin/bash')
const selector = { 'process:binary:path': ['/usr/bin/curl'], 'process:uid': ['0'] }

test('the kernel can be asked on this machine', options, () => {
  assert.deepEqual(probeCapture(), { available: true })
})

for (const [kind, flags] of [
  ['pid', ['--pid', '--fork', '--mount-proc']],
  ['cgroup', ['--cgroup']],
] as const) {
  test(`a container with a ${kind} namespace of its own is not taken for the host`, options, () => {
    const probe = new URL('../../src/daemon/capture/index.ts', import.meta.url).href
    const script = `import { probeCapture } from '${probe}'; console.log(JSON.stringify(probeCapture()))`
    const node = [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      script,
    ]
    const { available, reason } = JSON.parse(
      execFileSync('unshare', [...flags, ...node], { encoding: 'utf8' }),
    )
    assert.equal(available, false)
    assert.match(reason, new RegExp(`in a ${kind} namespace of its own: run it on the host`))
  })
}

test(
  'identified processes are captured, and refused while the daemon is dead or hung',
  options,
  async (t) => {
    await using place = await openPlace()
    await using daemon = await startCapturing(place.cgroup)
    await daemon.apply(scopeWith(1, selector, place.address))
    await t.test('an identified process is intercepted', async () => {
      // The first heartbeat comes within a quarter of a second after the first scope.
      await eventually(async () => noCredential.test((await place.curl()).stdout))
    })
    await t.test('a candidate that is somebody else passes', async () => {
      assert.equal((await place.curl('curl', 65_534)).stdout, 'direct\n')
    })
    await t.test('a hung main process: refused, strangers go on', async () => {
      daemon.child.kill('SIGSTOP')
      await eventually(async () => (await place.curl()).code === 7)
      const python = `import urllib.request as u; print(u.urlopen("http://127.0.0.1:${place.address.port}/").read().decode(), end="")`
      const child = spawn('/usr/bin/python3', ['-c', python], { stdio: ['ignore', 'pipe', 'inherit'] })
      assert.equal(await text(child.stdout), 'direct\n')
      daemon.child.kill('SIGCONT')
      await eventually(async () => noCredential.test((await place.curl()).stdout))
    })
    await t.test('a killed main process: refused', async () => {
      const exited = once(daemon.child, 'exit')
      daemon.child.kill('SIGKILL')
      await exited
      await eventually(async () => (await place.curl()).code === 7)
    })
  },
)

test('what serves has a user of its own and no capability in any thread', options, async () => {
  await using place = await openPlace()
  await using daemon = await startCapturing(place.cgroup)
  for (const pid of [daemon.child.pid!, ...daemon.workers()]) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
      assert.match(status, /^Uid:\t64099\t64099\t64099\t64099$/m)
      for (const set of ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
        assert.match(status, new RegExp(`^${set}:\t0+$`, 'm'))
    }
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NoNewPrivs:\t1$/m)
    assert.match(
      readFileSync(`/proc/${pid}/cgroup`, 'utf8'),
      new RegExp(`^0::/${basename(place.cgroup)}/tideway-daemon$`, 'm'),
    )
  }
})

test(
  'an executable in a folder that is closed to others is captured as it is attested',
  options,
  async () => {
    await using place = await openPlace()
    await using daemon = await startCapturing(place.cgroup)
    const home = join(daemon.folder, 'home')
    mkdirSync(home, { mode: 0o700 })
    const binary = join(home, 'curl')
    copyFileSync('/usr/bin/curl', binary)
    const link = join(home, 'link')
    symlinkSync(binary, link)
    for (const [index, path] of [binary, link].entries()) {
      const selected = { 'process:binary:path': [path], 'process:uid': ['0'] }
      await daemon.apply(scopeWith(index + 1, selected, place.address))
      await eventually(async () => noCredential.test((await place.curl(binary)).stdout))
    }
  },
)

test(
  'a daemon that cannot attest, or captures nothing any more, is not well and says so',
  options,
  async () => {
    await using place = await openPlace()
    await using daemon = await startCapturing(place.cgroup)
    const untilHealthIs = (health: RegExp) =>
      eventually(() => {
        const said = daemon.server.reports.flatMap(({ body }) => (body.case === 'health' ? body.value : []))
        return health.test(said.at(-1)?.daemonHealth ?? '')
      })
    await untilHealthIs(/^ok$/)
    const children = readFileSync(`/proc/${daemon.child.pid}/task/${daemon.child.pid}/children`, 'utf8')
    const attestor = Number(children.split(' ').find((pid) => commandLine(pid).includes('attestor')))
    process.kill(attestor, 'SIGSTOP')
    await untilHealthIs(/the attestor does not answer/)
    process.kill(attestor, 'SIGCONT')
    await untilHealthIs(/^ok$/)
    assert.equal((await daemon.call('GET', '/run'))['level'], 'process')
    releaseCapture(pinDirectoryOf(daemon.runDir))
    await untilHealthIs(/capture was released by hand: start the daemon again/)
    assert.match(String((await daemon.call('GET', '/run'))['detail']), /released by hand/)
  },
)

test('a deleted binding takes effect before it is acknowledged', options, async () => {
  await using place = await openPlace()
  await using daemon = await startCapturing(place.cgroup)
  await daemon.apply(scopeWith(1, selector, place.address))
  await eventually(async () => noCredential.test((await place.curl()).stdout))
  const nothing = { identities: [], services: [], bindings: [], credentials: [] }
  await daemon.apply({
    revision: 2,
    reset: false,
    upsert: nothing,
    remove: { ...nothing, bindings: ['app-cloud'] },
  })
  assert.equal((await place.curl()).stdout, 'direct\n')
})

test(
  'an ordinary user runs commands behind a daemon that root started, and sees their own processes only',
  options,
  async () => {
    await using daemon = await startDaemon('root', [
      '--capture=none',
      '--connect-to=example.org:443=127.0.0.1:9',
    ])
    const selector = { 'process:binary:path': ['/usr/bin/curl'], 'process:uid': ['65534'] }
    await daemon.apply(scopeWith(1, selector, { host: 'example.org' }))
    const request = ['curl', '-sS', '--max-time', '10', 'https://example.org/x']
    assert.match((await daemon.run('proxy', request)).stdout, noCredential)
    if (canEnclose()) assert.match((await daemon.run('namespaces', request)).stdout, noCredential)
    const attest = async (pid: number) => {
      const url = ['--unix-socket', join(daemon.runDir, 'daemon.sock'), 'http://daemon/attest']
      return (await daemon.as(['curl', '-sS', ...url, '--data', JSON.stringify({ pid })])).stdout
    }
    assert.match(await attest(process.pid), /"API_FORBIDDEN"/)
    const status = ['--unix-socket', join(daemon.runDir, 'daemon.sock'), 'http://daemon/status']
    assert.match((await daemon.as(['curl', '-sS', ...status])).stdout, /"API_FORBIDDEN"/)
  },
)

test('a second daemon does not take the folders of the first from its user', options, async () => {
  await using daemon = await startDaemon('root', ['--capture=none'])
  const folders = [daemon.runDir, join(daemon.folder, 'lib/state')]
  const owners = () => folders.map((folder) => statSync(folder).uid)
  const before = owners()
  const program = join(import.meta.dirname, '../../bin/tidewayd.ts')
  const settings = [`--run-dir=${folders[0]}`, `--state-dir=${folders[1]}`, '--capture=none', '--user=64098']
  const second = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...settings], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  assert.match(
    await text(second.stderr),
    new RegExp(`another daemon \\(pid ${daemon.child.pid}\\) runs with `),
  )
  assert.deepEqual(owners(), before)
})

test('a command in namespaces ends with whoever started it', options, async () => {
  await using daemon = await startDaemon('root', ['--capture=none'])
  await daemon.apply(scopeWith(1, selector, { host: 'example.org' }))
  const marker = String(100_000 + process.pid)
  const running = daemon.run('namespaces', ['sleep', marker])
  const pidsOf = (word: string) =>
    readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).split('\0').includes(word))
  const [sleeping] = await eventually(() => {
    const found = pidsOf(marker).filter((pid) => commandLine(pid).startsWith('sleep'))
    return found.length > 0 && found
  })
  const parentOf = (pid: string) => /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!
  const enclosing = parentOf(sleeping!)
  process.kill(Number(parentOf(enclosing)), 'SIGKILL')
  await running
  await eventually(() => ![sleeping!, enclosing].some((pid) => existsSync(`/proc/${pid}`)))
})

test('who connects and is gone, again and again, does not fill the log', options, async () => {
  await using place = await openPlace()
  await using daemon = await startDaemon('root', [
    '--capture=kernel',
    `--attach-cgroup=${place.cgroup}`,
    '--capture-port=0',
    '--log-level=warn',
  ])
  await daemon.apply(scopeWith(1, { 'process:binary:path': [bash], 'process:uid': ['0'] }, place.address))
  const failures = () => daemon.events().filter((event) => event === 'outbound.failed').length
  const { port } = place.address
  const script = `echo $$ > "$0/cgroup.procs"
    for i in {1..150}; do ("$1" -c 'exec 3<>/dev/tcp/127.0.0.1/${port}'); done`
  execFileSync(bash, ['-c', script, place.cgroup, bash], { stdio: 'ignore' })
  await eventually(() => failures() > 0)
  await daemon.call('GET', '/status')
  assert.ok(failures() <= 10, `${failures()} lines`)
})

test(
  'more than the kernel has room for keeps no binding in force and no daemon from serving',
  options,
  async () => {
    await using place = await openPlace()
    // A daemon that gets no CPU for two seconds is as one that hangs.
    const isCaptured = async () => noCredential.test((await place.curl()).stdout)
    await using daemon = await startCapturing(place.cgroup)
    const scope = scopeWith(1, selector, place.address)
    await daemon.apply(scope)
    await eventually(isCaptured)
    const withUids = (first: number, count: number) => ({
      ...scope.upsert.identities[0]!,
      name: 'huge',
      spiffeId: parseSpiffeId('spiffe://example.org/huge'),
      selectors: [{ 'process:uid': Array.from({ length: count }, (_, uid) => String(first + uid)) }],
    })
    const huge = withUids(100_000, 20_000)
    const [binding] = scope.upsert.bindings
    const bound = { ...binding!, name: 'huge-cloud', spiffeId: huge.spiffeId }
    const none = { identities: [], services: [], bindings: [], credentials: [] }
    await daemon.apply({
      revision: 2,
      reset: false,
      upsert: { ...none, identities: [huge], bindings: [bound] },
      remove: { ...none, bindings: ['app-cloud'] },
    })
    assert.deepEqual(await place.curl(), { stdout: 'direct\n', code: 0 })
    await daemon.apply({ ...scope, revision: 3, reset: false })
    await eventually(isCaptured)
    const { conditions } = (await daemon.call('GET', '/status')) as { conditions: { subject: string }[] }
    assert.deepEqual(
      conditions.map(({ subject }) => subject),
      ['workloadidentity/huge'],
    )
    // What fits in, but not beside what was there.
    for (const [revision, first] of [
      [4, 200_000],
      [5, 300_000],
    ] as const) {
      await daemon.apply({
        revision,
        reset: false,
        upsert: { ...none, identities: [withUids(first, 10_000)] },
        remove: none,
      })
    }
    assert.deepEqual((await daemon.call('GET', '/status'))['conditions'], [])
    assert.deepEqual(daemon.events(), [])
    // Longer than it takes to look at executables and cgroups again.
    await new Promise((resolve) => setTimeout(resolve, 6_000))
    await eventually(isCaptured)
  },
)

test(
  'a process that a selector may mean, in another network namespace, shows on the daemon',
  options,
  async () => {
    await using place = await openPlace()
    await using daemon = await startCapturing(place.cgroup)
    await daemon.apply(scopeWith(1, selector, place.address))
    const command = `echo $$ > "$0/cgroup.procs" && exec unshare --net curl -s http://127.0.0.1:${place.address.port}/`
    const { status } = spawnSync('/bin/sh', ['-c', command, place.cgroup])
    assert.equal(status, 7, 'nobody listens there')
    await eventually(async () => {
      const { conditions } = await daemon.call('GET', '/status')
      return (conditions as { reason: string }[]).some(({ reason }) => reason === 'OtherNetns')
    })
  },
)
