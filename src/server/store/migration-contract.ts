import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { PostgresTarget } from './postgres-target.ts'

/** What `migration-victim.ts` takes. */
export interface MigrationRun {
  readonly place: { readonly path: string } | { readonly target: PostgresTarget }
  readonly migrations: readonly string[]
  /** It is killed after so many. */
  readonly statements?: number
}

/** An empty database, and how its store brings it up to date. */
export interface MigrationBed {
  readonly place: MigrationRun['place']
  /** Whether several programs may have it at once; others are refused while one has it. */
  readonly shared: boolean
  migrate(migrations: readonly string[]): Promise<void>
  query(statement: string): Promise<readonly object[]>
}

// Each in SQL that both kinds of store know, and of the kind that shows when it ran twice.
const first = 'CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)'
const second = 'ALTER TABLE kept ADD COLUMN b int; UPDATE kept SET b = 2'
const third = 'INSERT INTO kept VALUES (3, 4); UPDATE kept SET a = a + 10'
const all = [first, second, third]
const oldRows = [{ a: 1 }]
const newRows = [
  { a: 11, b: 2 },
  { a: 13, b: 4 },
]

const rowsOf = async (bed: MigrationBed) =>
  (await bed.query('SELECT * FROM kept ORDER BY a')).map((row) => ({ ...row }))

/** Starts a program that brings a database up to date; resolves to the signal that ended it, or its exit code. */
async function start(run: MigrationRun): Promise<number | string> {
  const victim = fileURLToPath(new URL('./migration-victim.ts', import.meta.url))
  const args = ['--disable-warning=ExperimentalWarning', victim, JSON.stringify(run)]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  return signal ?? code!
}

/** What holds of bringing the schema of a store on a disk up to date, forward only, each version once. */
export function testMigrations(name: string, prepare: () => Promise<MigrationBed>): void {
  void describe(`${name}: migrations`, () => {
    test('killed after any statement of it, it is of the old version or the new, and the next start completes it', async () => {
      const seen = new Set<string>()
      let ended: number | string
      let statements = 0
      do {
        const bed = await prepare()
        await bed.migrate([first])
        ended = await start({ place: bed.place, migrations: all, statements: ++statements })
        seen.add(JSON.stringify(await rowsOf(bed)))
        await bed.migrate(all)
        assert.deepEqual(await rowsOf(bed), newRows, `killed after ${statements} statements`)
      } while (ended === 'SIGKILL')
      assert.equal(ended, 0)
      assert.deepEqual([...seen], [JSON.stringify(oldRows), JSON.stringify(newRows)])
    })

    test('a statement that fails undoes the versions before it, too; a program whose statements hold completes it', async () => {
      const bed = await prepare()
      await bed.migrate([first])
      await assert.rejects(bed.migrate([first, second, 'DELETE FROM kept; INSERT INTO nowhere VALUES (1)']))
      assert.deepEqual(await rowsOf(bed), oldRows)
      await bed.migrate(all)
      assert.deepEqual(await rowsOf(bed), newRows)
    })

    test('programs that start together run each version once', async () => {
      const bed = await prepare()
      await bed.migrate([first])
      const run = { place: bed.place, migrations: all }
      const ended = await Promise.all([start(run), start(run)])
      assert.ok(bed.shared ? ended.every((code) => code === 0) : ended.includes(0), ended.join())
      assert.deepEqual(await rowsOf(bed), newRows)
    })
  })
}
