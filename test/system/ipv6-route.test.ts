import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bringLoopbackUp, mount, mountFlags, unshare } from '#base/syscall'
import { captureStatus, cgroupMount } from '#daemon/capture'
import { eventually, startDaemon } from '../../src/daemon/program/fixture.ts'
import { pinDirectoryOf } from '../../src/daemon/program/paths.ts'

const isRemoved = (cgroup: string) => {
  try {
    rmdirSync(cgroup)
    return true
  } catch {
    return false
  }
}

test('IPv6 is captured while there is a route, also one that comes late', { timeout: 60_000 }, async () => {
  unshare('network', 'mount')
  mount({ target: '/', flags: mountFlags.private | mountFlags.recursive })
  bringLoopbackUp()
  const cgroup = mkdtempSync(join(cgroupMount(), 'tideway-test-'))
  {
    await using daemon = await startDaemon('root', ['--capture=kernel', `--attach-cgroup=${cgroup}`])
    const isUsable = () => {
      const status = captureStatus(pinDirectoryOf(daemon.runDir))
      return status.attached ? status.listeners[0]?.ipv6Usable : undefined
    }
    const ip = (command: string) => execFileSync('ip', command.split(' '))
    await eventually(() => isUsable() === false)
    ip('link add up0 type veth peer name up1')
    ip('link set up0 up')
    ip('-6 route add default dev up0')
    await eventually(isUsable)
    ip('-6 route del default dev up0')
    await eventually(() => isUsable() === false)
  }
  for (const path of [join(cgroup, 'tideway-daemon'), cgroup]) await eventually(() => isRemoved(path))
})
