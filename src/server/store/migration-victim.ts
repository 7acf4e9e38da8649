/**
 * Brings a database up to date as a server does when it starts, and dies after so many statements of that, unless
 * there are fewer. Its argument is a `MigrationRun` as JSON.
 */
import { DatabaseSync } from 'node:sqlite'
import type { MigrationRun } from './migration-contract.ts'
import { openPostgres } from './postgres-connection.ts'
import { migratePostgres } from './postgres-schema.ts'
import { migrateSqlite } from './sqlite-schema.ts'

const { place, migrations, statements } = JSON.parse(process.argv[2]!) as MigrationRun
let done = 0
function count<T>(result: T): T {
  if (++done === statements) process.kill(process.pid, 'SIGKILL')
  return result
}

if ('path' in place) {
  const database = new DatabaseSync(place.path)
  migrateSqlite(
    { prepare: (sql) => database.prepare(sql), exec: (sql) => count(database.exec(sql)) },
    place.path,
    migrations,
  )
} else {
  await using postgres = await openPostgres(place)
  const alone: typeof postgres.alone = (work) =>
    postgres.alone((client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
      return work(Object.assign(client, { query: async (...args: unknown[]) => count(await query(...args)) }))
    })
  await migratePostgres({ alone }, 'the database', migrations)
}
