import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { Fault } from '#base/errors'
import { silentLog } from '#base/log'
import { openBackupReader, type BackupEntry } from '#model/backup'
import { isInUse } from '#server/leadership'
import { openStore, type SecretPlaces } from './open-store.ts'
import type { ServerSettings } from './settings.ts'

/** What was restored, and what a server needs besides. */
export interface Restored {
  readonly entries: number
  /** When the backup was made, ISO 8601. */
  readonly createdAt: string
  /** The data folder, or the database. */
  readonly into: string
  /** Where the server will look for the sealing key, unless systemd brings it. */
  readonly sealingKeyFile: string
}

/** @throws Fault BACKUP_INVALID, SETTING_INVALID when the file cannot be read */
export async function readBackup(file: string) {
  const reader = openBackupReader()
  const entries: BackupEntry[] = []
  try {
    await using handle = await open(file)
    for await (const line of handle.readLines()) {
      const entry = reader.push(line)
      if (entry) entries.push(entry)
    }
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault('SETTING_INVALID', `${file}: ${(error as Error).message}`, { cause: error })
  }
  return { ...reader.end(), entries }
}

/**
 * Puts a backup into the store of `settings`, all of it or nothing. Whoever watched the store before, or the one the
 * backup is of, is told to list anew.
 * @throws Fault BACKUP_INVALID, RESOURCE_CONFLICT when the store holds something and `replace` is not set,
 *   STORE_UNAVAILABLE when a server runs on it, STORE_CORRUPT
 */
export async function restoreBackup(
  settings: ServerSettings,
  { file, replace, ...places }: SecretPlaces & { file: string; replace: boolean },
): Promise<Restored> {
  // Read whole before anything is touched.
  const { entries, createdAt, revision } = await readBackup(file)
  await using store = await openStore(settings, { ...places, clock: systemClock, log: silentLog })
  const present = await store.count('')
  if (present > 0 && !replace) {
    throw new Fault('RESOURCE_CONFLICT', `the store holds ${present} entries already`, {
      hint: 'stop its servers and repeat with --replace, when it may be lost; nothing has been changed',
    })
  }
  // A SQLite file is for one process; a database is not.
  if (await isInUse(store, systemClock)) {
    throw new Fault('STORE_UNAVAILABLE', 'a server runs on this store', {
      hint: 'stop all of its servers first; nothing has been changed',
    })
  }
  await store.replaceAll(entries, { aboveRevision: revision })
  const { dataDir, sealingKeyFile = join(dataDir, 'sealing-key') } = settings
  const { store: kind } = settings
  const into = kind === 'sqlite' ? dataDir : `database ${kind.database} at ${kind.host}`
  return { entries: entries.length, createdAt, into, sealingKeyFile }
}
