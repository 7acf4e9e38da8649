/**
 * Schema versions, oldest first; `PRAGMA user_version` counts those applied. Forward only: an entry that has been
 * released is never edited.
 */
export const migrations: readonly string[] = [
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
