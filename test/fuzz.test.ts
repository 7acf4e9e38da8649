import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
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

test('every parser of src/wire is under attack', () => {
  const folder = new URL('fuzz/', import.meta.url)
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts'))
  const text = sources.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n')
  const attacked = new Set(text.matchAll(/from '#wire\/([a-z0-9-]+)'/g).map(([, name]) => name))
  // What `proto` reads is read by the library of protocol buffers.
  const parsers = readdirSync(new URL('../src/wire/', import.meta.url)).filter((name) => name !== 'proto')
  assert.deepEqual(
    parsers.filter((name) => !attacked.has(name)),
    [],
  )
})
