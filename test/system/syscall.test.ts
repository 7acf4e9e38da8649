import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'

/** Runs `code` in a process of its own, in new namespaces of `unshare` (its options). */
function run(code: string, unshareOptions: readonly string[] = []): string {
  const imports = `import fs from 'node:fs'; import { execFileSync } from 'node:child_process'
    import * as s from '#base/syscall'; const say = (x) => console.log(typeof x === 'string' ? x : JSON.stringify(x))\n`
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e']
  const [command, ...rest] = unshareOptions.length > 0 ? ['unshare', ...unshareOptions, ...node] : node
  return execFileSync(command!, [...rest, imports + code], {
    encoding: 'utf8',
    cwd: new URL('../..', import.meta.url).pathname,
  })
}

function statusFields(status: string): Record<string, string> {
  return Object.fromEntries(status.split('\n').map((line) => line.split(/:\s*/, 2) as [string, string]))
}

describe('privileged system calls', () => {
  it('need root', () => assert.equal(process.getuid!(), 0))

  it('limit capabilities to exactly a list, as another user, kept across execve in every thread', () => {
    const ptrace = '0000000000080000' // bit 19
    const output = run(`s.limitCapabilities(['CAP_SYS_PTRACE'], { uid: 65534, gid: 65534 })
      process.execve('/bin/cat', ['cat', '/proc/self/status'], {})`)
    const status = statusFields(output)
    assert.equal(status.Uid, '65534\t65534\t65534\t65534')
    assert.equal(status.Groups?.trim(), '')
    for (const set of ['CapBnd', 'CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
      assert.equal(status[set], ptrace, set)
  })

  it('leave no capability to a limited root either', () => {
    const status = statusFields(
      run(`s.limitCapabilities([]); say(execFileSync('cat', ['/proc/self/status'], { encoding: 'utf8' }))`),
    )
    for (const set of ['CapBnd', 'CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
      assert.match(status[set]!, /^0+$/, set)
  })

  it('make a network namespace in which every address is local', () => {
    const output = run(
      `import net from 'node:net'; import { once } from 'node:events'
      s.bringLoopbackUp(); s.addLoopbackAddress('10.20.30.40', 24); say(s.addLocalDefaultRoutes())
      const server = net.createServer((c) => c.end('from ' + c.localAddress)).listen(0, '::'); await once(server, 'listening')
      for (const host of ['10.20.30.40', '198.51.100.7', '2001:db8::7']) {
        const c = net.connect(server.address().port, host); let text = ''
        for await (const part of c) text += part
        say(text)
      }
      server.close()`,
      ['-n'],
    )
    assert.deepEqual(output.trim().split('\n'), [
      '{"ipv6":true}',
      'from ::ffff:10.20.30.40',
      'from ::ffff:198.51.100.7',
      'from 2001:db8::7',
    ])
  })

  it('say that an address is there already', () => {
    const output = run(
      `s.bringLoopbackUp(); s.addLoopbackAddress('10.20.30.40', 24)
      try { s.addLoopbackAddress('10.20.30.40', 24) } catch (error) { say(s.errorName(s.errnoOf(error))) }`,
      ['-n'],
    )
    assert.equal(output.trim(), 'EEXIST')
  })

  it('mount and unmount in a namespace of the thread', () => {
    const output =
      run(`s.unshare('mount'); s.mount({ target: '/', flags: s.mountFlags.private | s.mountFlags.recursive })
      const folder = fs.mkdtempSync('/tmp/tideway-mount-')
      s.mount({ target: folder, type: 'tmpfs', data: 'size=64k,mode=0700' })
      say(execFileSync('stat', ['-f', '-c', '%T', folder], { encoding: 'utf8' }).trim())
      s.unmount(folder); s.mount({ source: '/usr', target: folder, flags: s.mountFlags.bind })
      say(fs.existsSync(folder + '/bin')); s.unmount(folder, { detach: true }); fs.rmdirSync(folder)`)
    assert.deepEqual(output.trim().split('\n'), ['tmpfs', 'true'])
  })

  it('enter the network namespace of another process', () => {
    const output = run(`import { spawn } from 'node:child_process'; import { once } from 'node:events'
      const child = spawn('unshare', ['-n', 'sh', '-c', 'echo ready; read line']); await once(child.stdout, 'data')
      const link = () => fs.readlinkSync('/proc/thread-self/ns/net'); const ours = link()
      const fd = fs.openSync('/proc/' + child.pid + '/ns/net'); s.enterNamespace(fd, 'network')
      say(link() === fs.readlinkSync('/proc/' + child.pid + '/ns/net') && link() !== ours); child.stdin.end()`)
    assert.equal(output.trim(), 'true')
  })
})
