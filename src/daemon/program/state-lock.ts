import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { Fault } from '#base/errors'
import { tryLock } from '#base/syscall'
import { kernelFileId } from '#daemon/capture'
import { requireUnanswered } from './control.ts'
import { runPaths } from './paths.ts'

const lockLine = /^\d+: FLOCK +ADVISORY +WRITE +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /gm

/** The process that has a folder locked (proc_locks(5)); undefined where our PID namespace has none such. */
function holderOf(folder: string): string | undefined {
  const id = kernelFileId(folder)
  for (const [, pid, major, minor, inode] of readFileSync('/proc/locks', 'latin1').matchAll(lockLine)) {
    const device = parseInt(major!, 16) * 0x10_0000 + parseInt(minor!, 16)
    if (device === id?.device && BigInt(inode!) === id.inode) return pid
  }
  return undefined
}

/**
 * Takes the state folder for this process: a node has one identity, and two daemons under it would end each
 * other's stream and write into one spool. What is locked is the folder itself, so that nothing is left of it
 * when we are killed. SECURITY: only its owner and root can open it, and so keep a daemon from starting.
 * @throws Fault CAPTURE_BUSY
 */
export function lockState(folder: string): Disposable {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  if (tryLock(fd)) return { [Symbol.dispose]: () => closeSync(fd) }
  closeSync(fd)
  const pid = holderOf(folder)
  const who = pid === undefined ? 'another daemon' : `another daemon (pid ${pid})`
  throw new Fault('CAPTURE_BUSY', `${who} runs with ${folder}`, {
    hint: 'stop it, or give this one folders of its own with --state-dir and --run-dir',
  })
}

/**
 * Takes both folders for this process, before anything in them is touched. What is in a run folder where another
 * daemon answers is that one's: its trust bundle has another root.
 * @throws Fault CAPTURE_BUSY
 */
export async function takeFolders(
  stack: AsyncDisposableStack,
  { runDir, stateDir }: { runDir: string; stateDir: string },
): Promise<void> {
  stack.use(lockState(stateDir))
  await requireUnanswered(runPaths(runDir).control)
}
