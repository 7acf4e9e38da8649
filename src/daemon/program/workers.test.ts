import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openTestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { silenceLimitMs, workerHeartbeatMs, type WorkerConfiguration } from './worker-protocol.ts'
import { openWorkerPool } from './workers.ts'

/** Answers everything; each heartbeat with how many there were. It answers no more than `answered` of them. */
function workerThatAnswers(answered: number): string {
  return `
    let beats = 0
    process.on('message', ({ call, method }) => {
      if (method === 'heartbeat' && ++beats > ${answered}) return
      process.send({ answer: call, response: { beats, ipv6: false } })
    })
    process.on('disconnect', () => process.exit())`
}

/** A pool of one such worker, on a clock that can jump: as when this process was stopped and goes on. */
function openPool(answered: number) {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-workers-'))
  const module = join(folder, 'worker.mjs')
  writeFileSync(module, workerThatAnswers(answered))
  const clock = openTestClock()
  let stopped = 0
  const ended: string[] = []
  const pool = openWorkerPool({
    count: 1,
    module: pathToFileURL(module),
    relocate: (path) => path,
    configure: () => ({}) as WorkerConfiguration,
    answersFor: () => ({}) as never,
    onEnded: (name) => ended.push(name),
    leaseMs: () => 1000,
    problems: () => [],
    clock: { ...clock, monotonic: () => clock.monotonic() + stopped },
    log: silentLog,
    random: () => 0,
  })
  return {
    pool,
    clock,
    ended,
    stopFor: (ms: number) => (stopped += ms),
    /** How many heartbeats the worker has answered, as far as is known. */
    beats: () => (pool.health().stats[0] as unknown as { beats: number } | undefined)?.beats ?? 0,
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true })
    },
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

test('a worker is not killed for the time in which the main process itself stood still', async () => {
  await using bench = openPool(Infinity)
  const { pool, clock, ended } = bench
  await pool.untilServing()
  for (let round = 0; round < 3; round += 1) {
    const before = bench.beats()
    bench.stopFor(60_000)
    await clock.advance(workerHeartbeatMs)
    await until(() => bench.beats() > before)
  }
  assert.deepEqual(ended, [])
})

test('a worker that falls silent is killed after the limit, also when the main process was late meanwhile', async () => {
  await using bench = openPool(1)
  const { pool, clock, ended } = bench
  await pool.untilServing()
  bench.stopFor(60_000)
  await clock.advance(silenceLimitMs + 2 * workerHeartbeatMs)
  await until(() => ended.length > 0)
  assert.deepEqual(ended, ['worker-0'])
})
