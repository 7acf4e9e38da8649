import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isFault } from '#base/errors'
import { cgroupAt, cgroupMountIn } from './cgroup.ts'
import { kernelFileId, mountDevice, processPinOf } from './process-pin.ts'

const mountinfo = `22 28 0:21 / /proc rw,nosuid - proc proc rw
30 1 254:1 / / rw,relatime - btrfs /dev/vda1 rw
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`

describe('what /proc tells about a process', () => {
  it('has this process with its own ids', () => {
    const pin = processPinOf(process.pid)!
    assert.equal(pin.pid, process.pid)
    assert.equal(pin.uid, process.getuid!())
    assert.equal(pin.gid, process.getgid!())
    assert.deepEqual({ device: pin.exeDevice, inode: pin.exeInode }, kernelFileId(process.execPath))
    assert.ok(pin.startTicks > 0n)
  })

  it('is nothing for a process that is gone', () => {
    assert.equal(processPinOf(0x7fff_fff0), undefined)
  })

  it('finds devices and mounts in mountinfo', () => {
    assert.equal(mountDevice(mountinfo, '30'), 254 * 2 ** 20 + 1)
    assert.equal(mountDevice(mountinfo, '3'), undefined)
    assert.equal(cgroupMountIn(mountinfo), '/sys/fs/cgroup/uni fied')
    assert.equal(cgroupMountIn('22 28 0:21 / /proc rw - proc proc rw'), undefined)
  })
})

describe('identities of files', () => {
  it('need no right to read the file, and follow links', () => {
    const id = kernelFileId('/proc/self/exe')
    assert.equal(id!.inode, statSync(process.execPath, { bigint: true }).ino)
    assert.equal(kernelFileId('/nowhere/at/all'), undefined)
  })

  it('are no cgroups unless they lie in the hierarchy', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tideway-cgroup-'))
    try {
      assert.throws(
        () => cgroupAt(folder),
        (error) => isFault(error),
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
