import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  findCgroupMount,
  findMountDevice,
  kernelDevice,
  parseCgroup,
  parseCommandLine,
  parseEnvironment,
  parseIds,
  parseStat,
  systemdUnit,
} from './proc-text.ts'

test('the name in a stat line cannot shift its fields', () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      const after = ['S', '42', ...Array<string>(17).fill('0'), '123456', '0']
      assert.deepEqual(parseStat(`7 (${name}) ${after.join(' ')}`), {
        state: 'S',
        parentPid: 42,
        startTicks: 123_456n,
      })
    }),
  )
  const forged = ') S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 99 ('
  assert.equal(parseStat(`7 (${forged}) S 42 ${'0 '.repeat(17)}5 0`)?.startTicks, 5n)
  assert.equal(parseStat('7 (sh)'), undefined)
})

test('ids come from their own line', () => {
  const status = 'Name:\tUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\n'
  assert.deepEqual(parseIds(status, 'Uid'), [1, 2, 3, 4])
  assert.deepEqual(parseIds(status, 'Gid'), [5, 5, 5, 5])
  assert.equal(parseIds('Name:\tx\n', 'Uid'), undefined)
})

test('cgroup paths of unified and hybrid systems', () => {
  assert.deepEqual(parseCgroup('0::/system.slice/a.service\n'), {
    unified: '/system.slice/a.service',
    systemd: '/system.slice/a.service',
  })
  assert.deepEqual(parseCgroup('5:name=systemd:/b.service\n0::/\n'), { unified: '/', systemd: '/b.service' })
  assert.deepEqual(parseCgroup(''), {})
})

test('the unit is the outermost one: a delegated or user unit below it does not count', () => {
  assert.equal(systemdUnit('/system.slice/nginx.service'), 'nginx.service')
  assert.equal(systemdUnit('/system.slice/system-x.slice/x@1.service/evil.service'), 'x@1.service')
  assert.equal(
    systemdUnit('/user.slice/user-7.slice/user@7.service/app.slice/nginx.service'),
    'user@7.service',
  )
  assert.equal(systemdUnit('/mine/nginx.service'), undefined)
  assert.equal(systemdUnit('/'), undefined)
})

test('devices are in the encoding of the kernel', () => {
  assert.equal(kernelDevice(0xfe01n), 0xfe * 2 ** 20 + 1)
  assert.equal(kernelDevice(0x12300145n), (1 << 20) + 0x12345)
  const mountinfo = '28 1 254:1 / / rw - ext4 /dev/vda1 rw\n31 28 0:27 / /cg rw,x - cgroup2 cgroup2 rw\n'
  assert.equal(findMountDevice(mountinfo, '28'), 254 * 2 ** 20 + 1)
  assert.equal(findMountDevice(mountinfo, '8'), undefined)
  assert.equal(findCgroupMount(mountinfo), '/cg')
})

test('environment and command line', () => {
  assert.deepEqual(
    [...parseEnvironment('A=1\0B=x=y\0A=2\0junk\0')],
    [
      ['A', '1'],
      ['B', 'x=y'],
    ],
  )
  assert.equal(parseCommandLine('curl\0-s\0\0'), 'curl -s')
})
