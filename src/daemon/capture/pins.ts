import { chmodSync, chownSync, existsSync, readFileSync, renameSync, rmSync, statfsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import { mount, mountFlags } from '#base/syscall'
import { BpfMap, mapShape, openPinned, pinObject } from './bpf.ts'
import { mapShapes, type MapName } from './layout.ts'

const BPF_FS_MAGIC = 0xcafe4a11

/** Where the kernel programs are attached. The order is that of attaching; releasing goes backwards. */
export const hooks = [
  { name: 'exec', program: 'tideway_exec', tracepoint: 'sched_process_exec' },
  { name: 'fork', program: 'tideway_fork', tracepoint: 'sched_process_fork' },
  { name: 'exit', program: 'tideway_exit', tracepoint: 'sched_process_exit' },
  { name: 'bind4', program: 'tideway_bind4', attachType: 8 },
  { name: 'bind6', program: 'tideway_bind6', attachType: 9 },
  { name: 'post_bind4', program: 'tideway_post_bind4', attachType: 12 },
  { name: 'post_bind6', program: 'tideway_post_bind6', attachType: 13 },
  { name: 'sockops', program: 'tideway_sockops', attachType: 3 },
  { name: 'getpeername4', program: 'tideway_getpeername4', attachType: 29 },
  { name: 'getpeername6', program: 'tideway_getpeername6', attachType: 30 },
  { name: 'sendmsg4', program: 'tideway_sendmsg4', attachType: 14 },
  { name: 'sendmsg6', program: 'tideway_sendmsg6', attachType: 15 },
  { name: 'connect4', program: 'tideway_connect4', attachType: 10 },
  { name: 'connect6', program: 'tideway_connect6', attachType: 11 },
] as const
export type Hook = (typeof hooks)[number]

export const linkPath = (pinDirectory: string, hook: Hook) => join(pinDirectory, `link_${hook.name}`)
/** The program that tells whether a process is still what it was; absent before Linux 6.2. */
export const inspectorPath = (pinDirectory: string) => join(pinDirectory, 'program_inspect')
export const mapPath = (pinDirectory: string, name: MapName) => join(pinDirectory, `map_${name}`)

function isBpffs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === BPF_FS_MAGIC
}

/** Whether a file system is mounted at `path` itself. */
export function isMountPoint(path: string): boolean {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
  return mountinfo.split('\n').some((line) => line.split(' ')[4] === resolve(path))
}

/**
 * Makes `pinDirectory` a folder of a BPF file system, mounting one there unless it is in one already. It belongs
 * to root, so that the serving user can open what it was given and remove nothing.
 * @throws Fault SYSCALL_FAILED
 */
export function preparePinDirectory(pinDirectory: string): void {
  makeFolder(pinDirectory, 0o711)
  if (!isBpffs(pinDirectory)) {
    const { noSetuid, noDevices, noExec } = mountFlags
    mount({ target: pinDirectory, type: 'bpf', flags: noSetuid | noDevices | noExec, data: 'mode=0711' })
  }
  chmodSync(pinDirectory, 0o711)
}

/** Pins `fd` at `path`, in place of what may be there, at once. */
export function pinOver(fd: number, path: string, owner: { uid: number; gid: number }): void {
  const fresh = `${path}_new`
  rmSync(fresh, { force: true })
  pinObject(fd, fresh)
  chownSync(fresh, owner.uid, owner.gid)
  chmodSync(fresh, 0o600)
  renameSync(fresh, path)
}

function otherLayout(path: string): Fault {
  return new Fault('CAPTURE_UNAVAILABLE', `${path} has another layout`, {
    hint: 'release the capture of the other version first: tideway capture release',
  })
}

/**
 * Opens a pinned map.
 * @throws Fault CAPTURE_UNAVAILABLE when it is not there or another version pinned it with another layout;
 *   SYSCALL_FAILED
 */
export function openMap(pinDirectory: string, name: MapName, valueBytes?: number): BpfMap {
  const wanted = mapShapes[name]
  const path = mapPath(pinDirectory, name)
  const fd = openPinned(path)
  if (fd === undefined && name !== 'config' && existsSync(mapPath(pinDirectory, 'config')))
    throw otherLayout(path)
  if (fd === undefined) {
    throw new Fault('CAPTURE_UNAVAILABLE', `nothing is attached: ${path} is missing`, {
      hint: 'the daemon attaches when it is started as root',
    })
  }
  const { key, value } = mapShape(fd)
  if (key !== wanted.key || value !== wanted.value) throw otherLayout(path)
  return new BpfMap(fd, { key, value: valueBytes ?? value })
}
