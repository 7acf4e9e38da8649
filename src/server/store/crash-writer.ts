/**
 * Writes one growing number to twenty keys per transaction, printing each acknowledged one, until it is killed.
 * Its argument is the store as JSON: the `path` of a SQLite file or the `target` of a PostgreSQL database.
 */
import { writeSync } from 'node:fs'
import { openPostgresStore } from './postgres-store.ts'
import type { PostgresTarget } from './postgres-target.ts'
import { openSqliteStore } from './sqlite-store.ts'

const place = JSON.parse(process.argv[2]!) as { path: string } | { target: PostgresTarget }
const keepRevisions = 50
const store =
  'path' in place
    ? await openSqliteStore({ ...place, keepRevisions })
    : await openPostgresStore({ ...place, keepRevisions })
const { revision } = await store.list('/')
const valueOf = (counter: number) => {
  const value = Buffer.alloc(4096)
  value.writeUInt32BE(counter)
  return value
}
for (let counter = revision + 1; ; counter += 4) {
  // Several at once, so that group commits are killed too.
  await Promise.all(
    [0, 1, 2, 3].map(async (offset) => {
      const value = valueOf(counter + offset)
      const operations = Array.from(
        { length: 20 },
        (_, index) => ({ type: 'put', key: `/${index}`, value }) as const,
      )
      await store.transaction([], operations)
      writeSync(1, `${counter + offset}\n`)
    }),
  )
}
