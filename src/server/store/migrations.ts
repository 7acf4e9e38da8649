import { Fault } from '#base/errors'

/**
 * Schema versions of the SQLite store, oldest first; `PRAGMA user_version` counts those applied. Forward only: an
 * entry that has been released is never edited.
 */
export const sqliteMigrations: readonly string[] = [
  `CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    mod_revision INTEGER NOT NULL,
    create_revision INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- One row per event; value is null for a deletion, the previous_ columns are null for a creation.
  CREATE TABLE changes (
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    create_revision INTEGER NOT NULL,
    previous_value BLOB,
    previous_mod_revision INTEGER,
    PRIMARY KEY (revision, position)
  ) STRICT, WITHOUT ROWID;
  -- head: the newest revision; floor: changes above it are kept.
  CREATE TABLE counters (
    head INTEGER NOT NULL,
    floor INTEGER NOT NULL
  ) STRICT;
  INSERT INTO counters VALUES (0, 0);`,
]

/** @throws Fault STORE_CORRUPT when the schema of `place` is of a newer version than `known` has */
export function checkSchemaVersion(place: string, version: number, known: readonly string[]): void {
  if (version <= known.length) return
  throw new Fault(
    'STORE_CORRUPT',
    `${place} was written by a newer version (schema ${version}, this version knows ${known.length})`,
    { hint: 'start the newer version again, or restore a backup made by this one into another store' },
  )
}
