import { createSecretKey, randomBytes, randomUUID, type KeyObject } from 'node:crypto'
import { link, open, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import type { Store } from '#server/store'
import { hasSealedData } from './custody.ts'

const keyBytes = 32
/** Name of the systemd credential (LoadCredential=, LoadCredentialEncrypted=) that holds the key. */
export const sealingCredentialName = 'tideway-sealing-key'

/**
 * The sealing key: 32 bytes as base64 text, from the systemd credential where there is one, else from `file`.
 * A first start with an empty store creates the file (0600); with sealed data in the store nothing is created.
 * @throws Fault SEALING_KEY_MISSING when the store holds sealed data and there is no key,
 *   SEALING_KEY_WRONG when the key's form or the file's permissions are wrong
 */
export async function loadSealingKey({
  store,
  file,
  credentialsDirectory,
}: {
  store: Store
  file: string
  /** `$CREDENTIALS_DIRECTORY` as systemd sets it. */
  credentialsDirectory?: string | undefined
}): Promise<KeyObject> {
  const credential =
    credentialsDirectory === undefined
      ? undefined
      : await readKeyFile(join(credentialsDirectory, sealingCredentialName), { guarded: true })
  const existing = credential ?? (await readKeyFile(file, { guarded: false }))
  if (existing) return existing
  if (await hasSealedData(store)) {
    throw new Fault(
      'SEALING_KEY_MISSING',
      `the store holds sealed data, and there is no sealing key in ${file}`,
      {
        hint: `put the sealing key that this store was created with back to ${file}; nothing has been changed`,
      },
    )
  }
  await createKeyFile(file)
  return (await readKeyFile(file, { guarded: false }))!
}

/** `guarded`: a systemd credential, whose folder only this service can enter whatever the file's mode says. */
async function readKeyFile(path: string, { guarded }: { guarded: boolean }): Promise<KeyObject | undefined> {
  let handle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Fault('SEALING_KEY_MISSING', `sealing key ${path} cannot be read`, { cause: error })
  }
  await using file = handle
  // SECURITY: asked of the open file, not of the path, which may name another file by then.
  const stat = await file.stat()
  if (!stat.isFile()) throw new Fault('SEALING_KEY_WRONG', `sealing key ${path} is not a regular file`)
  if (!guarded && (stat.mode & 0o077) !== 0) {
    throw new Fault('SEALING_KEY_WRONG', `sealing key ${path} can be read or written by others`, {
      hint: `run: chmod 600 ${path}`,
    })
  }
  const text = (await file.readFile('latin1')).trim()
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== keyBytes || bytes.toString('base64') !== text) {
    throw new Fault('SEALING_KEY_WRONG', `sealing key ${path} is not ${keyBytes} bytes in base64`)
  }
  return createSecretKey(bytes)
}

/** The file appears whole or not at all, and is on disk before anything is sealed with it. */
async function createKeyFile(path: string): Promise<void> {
  const folder = dirname(path)
  makeFolder(folder, 0o700)
  const temporary = `${path}.${randomUUID()}.tmp`
  {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(`${randomBytes(keyBytes).toString('base64')}\n`)
    await file.sync()
  }
  try {
    await link(temporary, path)
  } catch (error) {
    // Another server on the same files was first: its key is the key.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(temporary)
  }
  await using directory = await open(folder, 'r')
  await directory.sync()
}
