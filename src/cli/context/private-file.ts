import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { Fault, isFault } from '#base/errors'
import { makeFolder } from '#base/files'

/** Reads a file of secrets; undefined when there is none. @throws Fault SETTING_INVALID also when others can read it */
export function readPrivateFile(file: string, what: string): string | undefined {
  try {
    if (statSync(file).mode & 0o077) {
      // SECURITY: a bearer token that others could read is no longer only ours.
      throw new Fault('SETTING_INVALID', `${what} ${file} can be read by others`, {
        hint: `chmod 600 ${file}, and replace the tokens in it`,
      })
    }
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if (isFault(error)) throw error
    const message = `${what} ${file} cannot be read: ${(error as Error).message}`
    throw new Fault('SETTING_INVALID', message, { cause: error })
  }
}

/** Replaces the file at once, so that a reader sees the old or the new one, and a crash leaves one of them. */
export function writePrivateFile(file: string, text: string): void {
  makeFolder(path.dirname(file), 0o700)
  const draft = `${file}.${process.pid}.new`
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}
