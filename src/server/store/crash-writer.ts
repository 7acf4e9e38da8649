/** Writes one growing number to twenty keys per transaction, printing each acknowledged one, until it is killed. */
import { writeSync } from 'node:fs'
import { openSqliteStore } from './sqlite-store.ts'

const store = await openSqliteStore({ path: process.argv[2]!, keepRevisions: 50 })
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
