import { open, readFile, rename } from 'node:fs/promises'
import process from 'node:process'
import { Fault } from '#base/errors'

/** Writes a file so that readers, and a crash, see the old one or the new one, whole. */
export async function writeAtomically(path: string, content: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  {
    await using file = await open(temporary, 'w', mode)
    await file.chmod(mode) // the umask may have taken bits away
    await file.writeFile(content)
    await file.sync()
  }
  await rename(temporary, path)
}

/** The text of a file; undefined when there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The text of the file that `setting` names. @throws Fault SETTING_INVALID */
export async function readNamedFile(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${setting}: ${(error as Error).message}`, {
      hint: `name a file that user ${process.getuid!()} can read`,
      cause: error,
    })
  }
}
