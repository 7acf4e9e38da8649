import { chmodSync, mkdirSync } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import process from 'node:process'

/** Makes a folder, and those above it that are missing, of just this mode: the umask takes no bits away. */
export function makeFolder(path: string, mode: number): void {
  const first = mkdirSync(path, { recursive: true, mode })
  if (first === undefined) return
  for (let made = resolve(path); made.length >= first.length; made = dirname(made)) chmodSync(made, mode)
}

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
