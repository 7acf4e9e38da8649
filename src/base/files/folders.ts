import { accessSync, chmodSync, constants, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Fault } from '#base/errors'

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** Makes a folder, and those above it that are missing, of just this mode: the umask takes no bits away. */
export function makeFolder(path: string, mode: number): void {
  const folder = resolve(path)
  if (isFolder(folder)) return
  // One level at a time: below /proc, where nobody can make any, Node's own recursion never ends.
  if (!existsSync(dirname(folder))) makeFolder(dirname(folder), mode)
  try {
    mkdirSync(folder, { mode })
  } catch (error) {
    // Another process may have been first.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && isFolder(folder)) return
    throw error
  }
  chmodSync(folder, mode)
}

/**
 * Makes the folder that `setting` names, for us to write into, or takes one that is there; those above it that are
 * missing get the mode `above`.
 * @throws Fault SETTING_INVALID
 */
export function makeNamedFolder(
  setting: string,
  { path, mode, above = mode }: { path: string; mode: number; above?: number },
): void {
  try {
    makeFolder(dirname(resolve(path)), above)
    makeFolder(path, mode)
    accessSync(path, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${setting}: ${(error as Error).message}`, {
      hint: `name a folder that user ${process.getuid!()} can write or make`,
      cause: error,
    })
  }
}
