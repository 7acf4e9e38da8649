import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import process from 'node:process'
import { makeFolder } from '#base/files'
import { mount, mountFlags, unshare } from '#base/syscall'

const slave = 0x8_0000 // MS_SLAVE: what the host mounts later still shows here

/** The folder that holds this program and its runtime. */
function programRoot(): string {
  const here = resolve(import.meta.dirname, '../../..')
  const installed = here.indexOf('/node_modules/')
  return installed < 0 ? here : here.slice(0, installed)
}

/** Whether everyone may enter `folder` and all above it. */
export function everyoneMayEnter(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) return false
    if (path === dirname(path)) return true
  }
}

/**
 * Lets children that are not root read this program although it lies where they may not enter, such as /root: it
 * is bound to `target` in a mount namespace of ours. Needs root. Gives the way from a path to one that they have.
 * @throws Fault SYSCALL_FAILED
 */
export function exposeProgram(target: string): (path: string) => string {
  const root = programRoot()
  if (everyoneMayEnter(root) && everyoneMayEnter(dirname(process.execPath))) return (path) => path
  makeFolder(target, 0o755)
  unshare('mount')
  mount({ target: '/', flags: slave | mountFlags.recursive })
  mount({ source: root, target, flags: mountFlags.bind | mountFlags.recursive })
  return (path) => (path.startsWith(`${root}/`) ? target + path.slice(root.length) : path)
}
