import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isFault } from '#base/errors'
import {
  errnoOf,
  errorName,
  must,
  netnsCookie,
  openPidfd,
  peerCredentials,
  peerPidfd,
  syscall,
  unmount,
} from '#base/syscall'

/** The descriptor of a socket; Node has no public way to it. */
function descriptorOf(socket: net.Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

async function unixPair() {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-peer-'))
  const server = net.createServer()
  server.listen(join(folder, 'socket'))
  await once(server, 'listening')
  const client = net.connect(join(folder, 'socket'))
  const [accepted] = (await once(server, 'connection')) as [net.Socket]
  return {
    accepted,
    [Symbol.dispose]() {
      client.destroy()
      accepted.destroy()
      server.close()
      rmSync(folder, { recursive: true })
    },
  }
}

describe('socket options', () => {
  it('name the peer of a Unix socket, and pin it', async () => {
    using pair = await unixPair()
    const fd = descriptorOf(pair.accepted)
    assert.deepEqual(peerCredentials(fd), {
      pid: process.pid,
      uid: process.getuid!(),
      gid: process.getgid!(),
    })
    const pidfd = peerPidfd(fd)
    assert.match(
      readFileSync(`/proc/self/fdinfo/${pidfd}`, 'utf8'),
      new RegExp(`^Pid:\\s${process.pid}$`, 'm'),
    )
    closeSync(pidfd)
  })

  it('tell the network namespace by the same cookie for every socket in it', async () => {
    await using server = net.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const sockets = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')]
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    const [first, second] = sockets.map((socket) => netnsCookie(descriptorOf(socket)))
    assert.ok(first! > 0n)
    assert.equal(first, second)
    for (const socket of sockets) socket.destroy()
  })
})

describe('faults of system calls', () => {
  it('name the call and keep the error number', () => {
    assert.throws(
      () => unmount('/nowhere/at/all'),
      (error) =>
        isFault(error, 'SYSCALL_FAILED') &&
        error.message.startsWith('umount /nowhere') &&
        errnoOf(error)! > 0,
    )
    assert.throws(() => must('close', syscall('close', -1)), /close: EBADF/)
    assert.equal(errorName(524), 'error 524')
    assert.equal(errnoOf(new Error('other')), undefined)
  })

  it('are not thrown for a process that is gone', () => {
    assert.equal(openPidfd(0x7fff_fff0), undefined)
    closeSync(openPidfd(process.pid)!)
  })
})

describe('process attributes', () => {
  const run = (code: string) =>
    execFileSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code],
      { encoding: 'utf8', cwd: new URL('../../..', import.meta.url).pathname },
    )
  const imports = `import fs from 'node:fs'; import * as s from '#base/syscall';
    const status = () => fs.readFileSync('/proc/thread-self/status', 'utf8');`

  it('make a process non-dumpable', () => {
    const output = run(`${imports} s.setDumpable(false); const PR_GET_DUMPABLE = 3;
      console.log(s.syscall('prctl', PR_GET_DUMPABLE))`)
    assert.equal(output.trim(), '0')
  })

  it('forbid new privileges, for children too', () => {
    const output = run(`${imports} import { execFileSync } from 'node:child_process'; s.setNoNewPrivileges();
      console.log(execFileSync('cat', ['/proc/self/status'], { encoding: 'utf8' }))`)
    assert.match(output, /NoNewPrivs:\t1/)
  })
})

it('a process has the capabilities that it was left, and no others', () => {
  const source = `import { hasCapabilities } from '#base/syscall'
    console.log(hasCapabilities(['CAP_SYS_PTRACE']), hasCapabilities(['CAP_BPF']), hasCapabilities([]))`
  const root = process.getuid!() === 0
  const limit = root ? ['setpriv', '--bounding-set=-all,+sys_ptrace', '--inh-caps=-all'] : []
  const node = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    source,
  ]
  const [command, ...args] = [...limit, ...node]
  const printed = execFileSync(command!, args, { encoding: 'utf8', cwd: import.meta.dirname })
  assert.equal(printed.trim(), root ? 'true false true' : 'false false true')
})
