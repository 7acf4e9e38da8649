import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Store } from './ports.ts'

/** Starts the writer, waits for `acknowledgements` of its writes, kills it, and returns the last one. */
async function writeUntilKilled(place: object, acknowledgements: number): Promise<number> {
  const writer = fileURLToPath(new URL('./crash-writer.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', writer, JSON.stringify(place)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = once(child, 'exit')
  let last = 0
  for await (const line of createInterface(child.stdout)) {
    last = Number(line)
    if (--acknowledgements === 0) child.kill('SIGKILL')
  }
  await exited
  return last
}

/**
 * What every store on a disk does when its process is killed in mid-write, `rounds` times over. `place` is what the
 * writer takes (`crash-writer.ts`), `open` opens the same store here.
 */
export function testCrashes(
  name: string,
  rounds: number,
  prepare: () => Promise<{ place: object; open: () => Promise<Store> }>,
): void {
  void test(`${name}: killed in mid-write ${rounds} times it loses nothing acknowledged and leaves nothing half-written`, async () => {
    const { place, open } = await prepare()
    for (let round = 1; round <= rounds; round++) {
      const acknowledged = await writeUntilKilled(place, (round * 37) % 101 || 1)
      await using store = await open()
      const { entries, revision } = await store.list('/')
      const counters = new Set(entries.map(({ value }) => Buffer.from(value).readUInt32BE()))
      // One transaction writes the same number to every key.
      assert.equal(counters.size, 1, `round ${round}`)
      assert.equal(entries.length, 20)
      const [counter] = counters
      const found = `round ${round}: ${acknowledged} was acknowledged, ${counter} is there`
      assert.ok(counter! >= acknowledged, found)
      assert.equal(revision, counter)
    }
  })
}
