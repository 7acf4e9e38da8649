import { checkSchemaVersion } from './migrations.ts'
import type { Postgres } from './postgres-connection.ts'
import { postgresMigrations } from './postgres-migrations.ts'

/** Names our lock among those of other programs on the same database: 'Tdwy'. */
const migrationLock = 0x54647779

/**
 * Brings the schema up to date, all of it or nothing; of servers that start together one does it and the others
 * wait. `place` names the database.
 * @throws Fault STORE_CORRUPT when it is of a newer version
 */
export async function migratePostgres(
  { alone }: Pick<Postgres, 'alone'>,
  place: string,
  migrations: readonly string[] = postgresMigrations,
): Promise<void> {
  await alone(async (client) => {
    await client.query('BEGIN')
    await client.query('SELECT pg_advisory_xact_lock($1)', [migrationLock])
    await client.query('CREATE TABLE IF NOT EXISTS tideway_schema (version int NOT NULL)')
    const { rows } = await client.query<{ version: number }>('SELECT version FROM tideway_schema')
    const version = rows[0]?.version ?? 0
    checkSchemaVersion(place, version, migrations)
    if (version < migrations.length) {
      for (const migration of migrations.slice(version)) await client.query(migration)
      await client.query('DELETE FROM tideway_schema')
      await client.query('INSERT INTO tideway_schema VALUES ($1)', [migrations.length])
    }
    await client.query('COMMIT')
  })
}
