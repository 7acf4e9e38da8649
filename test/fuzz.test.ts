import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzz } from './fuzz/fuzz.ts'
import { openRandom } from './fuzz/random.ts'
import { targets } from './fuzz/targets.ts'

for (const target of targets) {
  test(`the kept inputs of ${target.name} and 2,000 mutations of them break no invariant`, async (t) => {
    const { executions, failure } = await fuzz(target, {
      random: openRandom(1),
      wants: (count) => count < 2000,
    })
    if (failure) assert.fail(`${JSON.stringify(failure.input.toString('latin1'))}: ${String(failure.error)}`)
    t.diagnostic(`${executions} executions`)
  })
}
