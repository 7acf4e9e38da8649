import type { DatabaseSync } from 'node:sqlite'
import { Fault } from '#base/errors'
import { checkSchemaVersion, sqliteMigrations } from './migrations.ts'

/** 'Tdwy': marks a file as ours, so that no other program's database is migrated by mistake. */
const applicationId = 0x54647779

function pragma(database: Pick<DatabaseSync, 'prepare'>, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0])
}

export function damaged(path: string, why: string, cause?: unknown): Fault {
  return new Fault('STORE_CORRUPT', `${path} is damaged: ${why}`, {
    hint: `move ${path}* away and restore a backup; nothing has been changed`,
    cause,
  })
}

/**
 * Takes the file at `path` for this process alone and brings its schema up to date, all of it or nothing.
 * @throws Fault STORE_CORRUPT when it is damaged, another program's, or of a newer version; what SQLite throws
 */
export function migrateSqlite(
  database: Pick<DatabaseSync, 'exec' | 'prepare'>,
  path: string,
  migrations: readonly string[] = sqliteMigrations,
): void {
  // Exclusive: a second server on the same file fails here and not at its first write.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0')
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT')
  const version = pragma(database, 'user_version')
  const application = pragma(database, 'application_id')
  const empty = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
  if (application !== applicationId && !(application === 0 && empty)) {
    throw new Fault('STORE_CORRUPT', `${path} is a database of another program`)
  }
  checkSchemaVersion(path, version, migrations)
  const [check] = database.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[]
  if (check?.quick_check !== 'ok') throw damaged(path, String(check?.quick_check))
  if (version === migrations.length) return
  // What was not committed goes with the connection: whoever opened it closes it when this throws.
  database.exec('BEGIN IMMEDIATE')
  for (const migration of migrations.slice(version)) database.exec(migration)
  database.exec(`PRAGMA user_version = ${migrations.length}; PRAGMA application_id = ${applicationId}`)
  database.exec('COMMIT')
}
