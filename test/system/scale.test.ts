import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const bench = resolve(import.meta.dirname, '../../bench/scale/run.ts')

test('the bench of many daemons measures everything, in its small form', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-scale-test-'))
  try {
    const json = join(folder, 'measured.json')
    const args = ['--disable-warning=ExperimentalWarning', bench, '--quick', '--json', json]
    await promisify(execFile)(process.execPath, args)
    const { measured } = JSON.parse(await readFile(json, 'utf8')) as {
      measured: { daemons: number; results: Record<string, number | null> }[]
    }
    assert.deepEqual(
      measured.map(({ daemons }) => daemons),
      [1, 10],
    )
    for (const { results } of measured) {
      assert.equal(results['applies, one daemon'], 5)
      assert.equal(results['applies, all daemons'], 2)
      assert.ok(results['full sync of all daemons, s']! > 0)
      assert.ok(results['server CPU at rest, % of a core']! > 0)
      assert.ok(results['restart: from ready until all daemons are in sync, s']! > 0)
      assert.notEqual(results['server CPU for each watch event, us'], undefined)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
