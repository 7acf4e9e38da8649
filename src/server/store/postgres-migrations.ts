/**
 * Schema versions of the PostgreSQL store, oldest first; the table `tideway_schema` counts those applied. Forward
 * only: an entry that has been released is never edited.
 */
export const postgresMigrations: readonly string[] = [
  `CREATE TABLE tideway_entries (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    mod_revision bigint NOT NULL,
    create_revision bigint NOT NULL
  );
  -- One row per event; value is null for a deletion, the previous_ columns are null for a creation.
  CREATE TABLE tideway_changes (
    revision bigint NOT NULL,
    position int NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea,
    create_revision bigint NOT NULL,
    previous_value bytea,
    previous_mod_revision bigint,
    PRIMARY KEY (revision, position)
  );

  -- Which line of history this database is on: another after a failover, a recovery to a point in time, or a restore
  -- of a dump elsewhere, any of which may have lost revisions that were seen.
  CREATE FUNCTION tideway_history() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()
  $$;

  -- One row. head: the newest revision; floor: changes above it are kept; history: of which head is.
  CREATE TABLE tideway_counters (
    head bigint NOT NULL,
    floor bigint NOT NULL,
    history text NOT NULL
  ) WITH (fillfactor = 10);
  INSERT INTO tideway_counters VALUES (0, 0, tideway_history());

  -- Applies transactions in order. Each has the compares up to its element of compare_ends, and the operations up to
  -- its element of operation_ends; a null value deletes. Answers each with its revision, or with the key at fault.
  CREATE FUNCTION tideway_write(
    compare_ends int[], compare_keys text[], compare_revisions bigint[],
    operation_ends int[], operation_keys text[], operation_values bytea[],
    keep bigint, history_gap bigint
  ) RETURNS TABLE (committed bigint, conflict text) LANGUAGE plpgsql AS $$
  DECLARE
    counters tideway_counters;
    before tideway_entries;
    this_history text := tideway_history();
    at_compare int := 1;
    at_operation int := 1;
    place int;
    following bigint;
    first_head bigint;
  BEGIN
    -- The lock on this row is held until the commit: revisions become visible in their order, without gaps.
    SELECT * INTO counters FROM tideway_counters FOR UPDATE;
    first_head := counters.head;
    IF counters.history <> this_history THEN
      -- Revisions above head may have been seen that are lost: none of them may come again and mean something else.
      counters.head := counters.head + history_gap;
      counters.floor := counters.head;
      counters.history := this_history;
      DELETE FROM tideway_changes;
    END IF;
    FOR number IN 1 .. coalesce(array_length(operation_ends, 1), 0) LOOP
      conflict := NULL;
      WHILE at_compare <= compare_ends[number] LOOP
        IF conflict IS NULL AND compare_revisions[at_compare] <> coalesce(
          (SELECT mod_revision FROM tideway_entries WHERE key = compare_keys[at_compare]), 0)
        THEN
          conflict := compare_keys[at_compare];
        END IF;
        at_compare := at_compare + 1;
      END LOOP;
      IF conflict IS NOT NULL THEN
        at_operation := operation_ends[number] + 1;
        committed := NULL;
        RETURN NEXT;
        CONTINUE;
      END IF;
      place := 0;
      following := counters.head + 1;
      WHILE at_operation <= operation_ends[number] LOOP
        SELECT * INTO before FROM tideway_entries WHERE key = operation_keys[at_operation];
        IF operation_values[at_operation] IS NOT NULL THEN
          INSERT INTO tideway_entries VALUES (
            operation_keys[at_operation], operation_values[at_operation], following,
            coalesce(before.create_revision, following)
          ) ON CONFLICT (key) DO UPDATE SET value = excluded.value, mod_revision = excluded.mod_revision;
        ELSE
          DELETE FROM tideway_entries WHERE key = operation_keys[at_operation];
        END IF;
        IF operation_values[at_operation] IS NOT NULL OR before.key IS NOT NULL THEN
          INSERT INTO tideway_changes VALUES (
            following, place, operation_keys[at_operation], operation_values[at_operation],
            coalesce(before.create_revision, following), before.value, before.mod_revision
          );
          place := place + 1;
        END IF;
        at_operation := at_operation + 1;
      END LOOP;
      IF place > 0 THEN
        counters.head := following;
      END IF;
      committed := counters.head;
      RETURN NEXT;
    END LOOP;
    IF counters.head <> first_head THEN
      -- Compacted in chunks: one range delete for every keep revisions.
      IF counters.head - counters.floor >= 2 * keep THEN
        counters.floor := counters.head - keep;
        DELETE FROM tideway_changes WHERE revision <= counters.floor;
      END IF;
      UPDATE tideway_counters SET head = counters.head, floor = counters.floor, history = counters.history;
      PERFORM pg_notify('tideway', '');
    END IF;
  END
  $$;`,
]
