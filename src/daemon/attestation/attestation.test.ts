import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, realpath, rm, stat } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { once } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '#base/clock'
import { openProcessReader, openSocketUids, samePin, startAttestor } from './index.ts'

const asRoot = process.getuid!() === 0
const withoutRoot = asRoot ? false : 'needs root'

/** Starts a program that prints one line when it is ready, and waits for it. */
async function start(
  command: string,
  args: readonly string[],
  env = {},
): Promise<ChildProcess & AsyncDisposable> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  await once(child.stdout, 'data')
  return Object.assign(child, {
    async [Symbol.asyncDispose]() {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
      child.kill('SIGKILL')
      await exited
    },
  })
}

const waitForInput = 'console.log(1); process.stdin.resume()'

async function attest(child: ChildProcess, ...keys: string[]) {
  await using reader = openProcessReader()
  await reader.collect(keys)
  const attestation = await reader.attest(child.pid!, (await reader.startOf(child.pid!))!)
  assert.ok(attestation)
  return attestation
}

test('a process is known by name, binary, command line, ids and cgroup', async () => {
  await using child = await start(process.execPath, ['-e', waitForInput, 'argument'])
  const { pin, executable, attributes } = await attest(child)
  const binary = await realpath(process.execPath)
  assert.equal(executable, binary)
  assert.deepEqual(attributes.get('process:binary:path'), [binary])
  assert.deepEqual(attributes.get('process:cmdline'), [`${process.execPath} -e ${waitForInput} argument`])
  assert.deepEqual(attributes.get('process:uid'), [String(process.getuid!())])
  assert.deepEqual(attributes.get('process:gid'), [String(process.getgid!())])
  assert.equal(attributes.get('process:cgroup')?.[1], String(pin.cgroupId))
  assert.equal(pin.exeInode, (await stat(binary, { bigint: true })).ino)
  assert.equal(attributes.has('process:binary:hash'), false)
})

const python = '/usr/bin/python3'
const withoutPython = !existsSync(python) && `needs ${python}`

test('a process is known when the thread that it began with has ended', { skip: withoutPython }, async () => {
  // exit(2), which ends the calling thread alone, on x86_64 and on aarch64.
  const script = `import ctypes, platform, sys, threading
def stay():
    while open('/proc/self/stat').read().split()[2] != 'Z': pass
    print(1, flush=True)
    sys.stdin.read()
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)`
  await using child = await start(python, ['-c', script], { STAGE: 'prod' })
  const { attributes } = await attest(child, 'process:env:STAGE')
  assert.deepEqual(attributes.get('process:name'), ['python3'])
  assert.deepEqual(attributes.get('process:binary:path'), [await realpath(python)])
  assert.deepEqual(attributes.get('process:cmdline'), [`${python} -c ${script}`])
  assert.deepEqual(attributes.get('process:env:STAGE'), ['prod'])
})

test('hash, environment and ancestors are read when asked for', async () => {
  await using child = await start(process.execPath, ['-e', waitForInput], { STAGE: 'prod', OTHER: 'x' })
  const { attributes } = await attest(
    child,
    'process:binary:hash',
    'process:env:STAGE',
    'process:ancestor:binary:path',
  )
  const digest = createHash('sha256')
    .update(await readFile(process.execPath))
    .digest('hex')
  assert.deepEqual(attributes.get('process:binary:hash'), [`sha256:${digest}`])
  assert.deepEqual(attributes.get('process:env:STAGE'), ['prod'])
  assert.equal(attributes.has('process:env:OTHER'), false)
  assert.ok(attributes.get('process:ancestor:binary:path')?.includes(await realpath(process.execPath)))
})

test('a process that rewrites its name and arguments keeps binary and ids', async () => {
  await using child = await start(process.execPath, [
    '-e',
    `process.title = 'trusted'; ${waitForInput}`,
    'x'.repeat(30),
  ])
  const { attributes } = await attest(child)
  assert.deepEqual(attributes.get('process:name'), ['trusted'])
  assert.match(attributes.get('process:cmdline')![0]!, /^trusted/)
  assert.deepEqual(attributes.get('process:binary:path'), [await realpath(process.execPath)])
})

test('a reused pid is another process: the start time must agree', async () => {
  await using child = await start(process.execPath, ['-e', waitForInput])
  await using reader = openProcessReader()
  const startTicks = (await reader.startOf(child.pid!))!
  assert.equal(await reader.attest(child.pid!, startTicks - 1n), undefined)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(await reader.attest(child.pid!, startTicks), undefined)
})

test('an executed program changes the pin', async () => {
  await using child = await start('/bin/sh', ['-c', 'echo 1; read line; exec /bin/cat'])
  const before = await attest(child)
  child.stdin!.write('go\nhello\n')
  await once(child.stdout!, 'data')
  const after = await attest(child)
  assert.equal(samePin(before.pin, after.pin), false)
  assert.equal(before.pin.startTicks, after.pin.startTicks)
})

test('a file bound over a trusted path in a mount namespace has no path attribute', async (t) => {
  const probe = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true'])
  if (probe.status !== 0) return t.skip('user namespaces are refused here')
  const folder = await mkdtemp(join(tmpdir(), 'tideway-'))
  try {
    const forged = join(folder, 'forged')
    await copyFile('/bin/sleep', forged)
    const trusted = await realpath('/bin/cat')
    const script = `mount --bind ${forged} ${trusted} && echo 1 && exec ${trusted} 60`
    await using child = await start('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script])
    await using reader = openProcessReader()
    const startTicks = (await reader.startOf(child.pid!))!
    for (;;) {
      const attestation = await reader.attest(child.pid!, startTicks)
      if (attestation?.attributes.get('process:cmdline')?.[0] !== `${trusted} 60`) continue
      assert.equal(attestation.executable, trusted)
      assert.equal(attestation.attributes.has('process:binary:path'), false)
      break
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the owner of a connection is found by its socket, a wrong tuple finds nobody', async () => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const script = `require('net').connect(${port}, '127.0.0.1', () => console.log(1))`
  const accepted = once(server, 'connection')
  await using child = await start(process.execPath, ['-e', script])
  const [socket] = (await accepted) as [import('node:net').Socket]
  await using reader = openProcessReader()
  const connection = {
    network: 'ours' as const,
    uid: process.getuid!(),
    client: { address: socket.remoteAddress!, port: socket.remotePort! },
    server: { address: '127.0.0.1', port },
  }
  assert.equal((await reader.findOwner(connection))?.pid, child.pid)
  const other = { ...connection, client: { ...connection.client, port: 1 } }
  assert.equal(await reader.findOwner(other), undefined)
  const ofAnother = { ...connection, uid: connection.uid + 1 }
  assert.equal(await reader.findOwner(ofAnother), undefined, 'only of the user who made the socket')
  assert.equal(await openSocketUids()(connection), process.getuid!())
  assert.equal(await openSocketUids()(other), undefined)
  const asRelay = { ...connection, network: { pid: child.pid! } }
  assert.equal(await reader.findOwner(asRelay), undefined, 'a relay in our own namespace speaks for nobody')
  socket.destroy()
  server.close()
})

test('the owner of an IPv6 connection is found too', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '::1')
  const listening = await Promise.race([
    once(server, 'listening').then(() => true),
    once(server, 'error').then(() => false),
  ])
  if (!listening) return t.skip('no IPv6 here')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'connection')
  const client = connect(port, '::1')
  const [socket] = (await accepted) as [import('node:net').Socket]
  await using reader = openProcessReader()
  const owner = await reader.findOwner({
    network: 'ours',
    uid: process.getuid!(),
    client: { address: '::1', port: socket.remotePort! },
    server: { address: '::1', port },
  })
  assert.equal(owner?.pid, process.pid)
  client.destroy()
  socket.destroy()
  server.close()
})

test('the attestor process reads other users and keeps two capabilities', { skip: withoutRoot }, async () => {
  await using child = await start('setpriv', [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--',
    '/bin/sh',
    '-c',
    'echo 1; read line',
  ])
  let exited = false
  await using attestor = startAttestor({
    uid: 65_533,
    gid: 65_533,
    clock: systemClock,
    onExit: () => (exited = true),
  })
  const startTicks = (await attestor.startOf(child.pid!))!
  const attestation = await attestor.attest(child.pid!, startTicks)
  assert.deepEqual(attestation?.attributes.get('process:uid'), ['65534'])
  assert.deepEqual(attestation?.attributes.get('process:binary:path'), [await realpath('/bin/sh')])
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')
  const statuses = await Promise.all(
    children
      .trim()
      .split(' ')
      .map((pid) => readFile(`/proc/${pid}/status`, 'utf8')),
  )
  const own = statuses.find((status) => /^Uid:\t65533\t/m.test(status))
  for (const set of ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb']) {
    assert.match(own!, new RegExp(`^${set}:\\t0000000000080004$`, 'm'))
  }
  assert.match(own!, /^NoNewPrivs:\t1$/m)
  assert.equal(exited, false)
})

test('a process that may not be looked at is refused in a sentence', { skip: withoutRoot }, async () => {
  const script = `import { openProcessReader } from ${JSON.stringify(import.meta.resolve('./index.ts'))}
    process.setgid(65_534)
    process.setuid(65_534)
    const reader = openProcessReader()
    await reader.attest(1, await reader.startOf(1)).catch(({ message, hint }) => console.log([message, hint].join()))`
  const options = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script]
  const { stdout } = spawnSync(process.execPath, options, { encoding: 'utf8' })
  assert.match(stdout, /^the daemon may not look at process 1,as an ordinary user it sees/)
})

test('a process with mixed user ids is nobody in particular', { skip: withoutRoot }, async () => {
  await using child = await start('setpriv', [
    '--euid=65534',
    '--clear-groups',
    '--',
    '/bin/sh',
    '-pc',
    'echo 1; read line',
  ])
  const { attributes, pin } = await attest(child)
  assert.equal(pin.uid, 0)
  assert.equal(attributes.has('process:uid'), false)
})
