import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessPin } from '#model/identity'
import { cgroupMount } from './cgroup.ts'

// open(2) without opening: works on files that may not be read, and is all that fdinfo needs.
const O_PATH = 0x200000

/** The device (major << 20 | minor) that the kernel has for mount `mountId`, from the text of a mountinfo. */
export function mountDevice(mountinfo: string, mountId: string): number | undefined {
  const device = new RegExp(`^${mountId} \\d+ (\\d+):(\\d+) `, 'm').exec(mountinfo)
  return device ? Number(device[1]) * 0x10_0000 + Number(device[2]) : undefined
}

/**
 * Device and inode of the file at `path` as the kernel programs see them. They come from fdinfo and mountinfo,
 * because stat(2) shows other devices (btrfs) or inodes (overlayfs). Undefined when there is no such file or it
 * may not be seen.
 */
export function kernelFileId(
  path: string,
  mountinfoPath = '/proc/self/mountinfo',
): { device: number; inode: bigint } | undefined {
  let fd: number
  try {
    fd = openSync(path, O_PATH)
  } catch {
    return undefined
  }
  try {
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')
    const inode = /^ino:\s*(\d+)$/m.exec(info)?.[1]
    const mountId = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1]
    const device = mountId && mountDevice(readFileSync(mountinfoPath, 'latin1'), mountId)
    return inode && device !== undefined && device !== '' ? { device, inode: BigInt(inode) } : undefined
  } finally {
    closeSync(fd)
  }
}

/** The present pin of process `pid`; undefined when it is gone or may not be read. */
export function processPinOf(pid: number): ProcessPin | undefined {
  try {
    const folder = `/proc/${pid}`
    const executable = kernelFileId(`${folder}/exe`, `${folder}/mountinfo`)
    const stat = readFileSync(`${folder}/stat`, 'latin1')
    // The name, field 2, may contain anything but ends with the last parenthesis.
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    const status = readFileSync(`${folder}/status`, 'latin1')
    const id = (label: string) => Number(new RegExp(`^${label}:\t(\\d+)`, 'm').exec(status)?.[1])
    const cgroup = /^0::(.*)$/m.exec(readFileSync(`${folder}/cgroup`, 'utf8'))?.[1] ?? '/'
    if (!executable || startTicks === undefined) return undefined
    return {
      pid,
      startTicks: BigInt(startTicks),
      exeDevice: executable.device,
      exeInode: executable.inode,
      uid: id('Uid'),
      gid: id('Gid'),
      cgroupId: statSync(join(cgroupMount(), cgroup), { bigint: true }).ino,
    }
  } catch {
    return undefined
  }
}
