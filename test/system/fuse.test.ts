import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '#base/clock'
import { mount, mountFlags, unmount, unshare } from '#base/syscall'
import { startAttestor } from '#daemon/attestation'

const uid = 65_534
const skip = !existsSync('/dev/fuse') && 'this kernel has no FUSE'

// An AppImage runs so.
test('a process is known although its executable is shown to its own user only', { skip }, async () => {
  unshare('mount')
  mount({ target: '/', flags: mountFlags.private | mountFlags.recursive })
  const folder = mkdtempSync(join(tmpdir(), 'tideway-fuse-'))
  const script = new URL('fuse.py', import.meta.url).pathname
  const files = spawn('/usr/bin/python3', [script, '/bin/sh', folder, String(uid)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(files.stdout, 'data')
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const command = [join(folder, 'program'), '-c', 'echo 1; read line']
  const child = spawn('setpriv', [...user, ...command], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  try {
    await using attestor = startAttestor({ uid: 65_533, gid: 65_533, clock: systemClock, onExit() {} })
    await attestor.collect(['process:binary:hash'])
    const attestation = await attestor.attest(child.pid!, (await attestor.startOf(child.pid!))!)
    const found = Object.fromEntries(attestation!.attributes)
    assert.deepEqual(found['process:uid'], [String(uid)])
    assert.deepEqual(found['process:name'], ['program'])
    // What nobody else sees is no file of the host.
    assert.equal(found['process:binary:path'], undefined)
    assert.equal(found['process:binary:hash'], undefined)
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
    unmount(folder, { detach: true })
    files.kill('SIGKILL')
    rmdirSync(folder)
  }
})
