/**
 * Mutational fuzzing of the wire parsers: `node test/fuzz/run.ts --seconds 60 --target request-head`.
 * `--seed` repeats a run, `--keep` adds inputs with new answers to the corpus. Exits 1 when an invariant broke and
 * leaves the input in the corpus, where it stays as a test.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '#base/clock'
import { fuzz, keepInput } from './fuzz.ts'
import { openRandom } from './random.ts'
import { targets } from './targets.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    target: { type: 'string' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})

const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target)
const seconds = Number(values.seconds)
if (chosen.length === 0 || !(seconds > 0)) {
  console.error(
    `usage: run.ts --seconds N [--target ${targets.map(({ name }) => name).join('|')}] [--seed N] [--keep]`,
  )
  process.exit(2)
}
const seed = Number(values.seed ?? systemClock.now() % 2 ** 32)
console.log(`seed ${seed}`)

let executions = 0
let failures = 0
for (const target of chosen) {
  const until = systemClock.monotonic() + (seconds * 1000) / chosen.length
  const result = await fuzz(target, {
    random: openRandom(seed),
    wants: () => systemClock.monotonic() < until,
  })
  executions += result.executions
  console.log(`${target.name}: ${result.executions} executions, ${result.discoveries.length} new answers`)
  if (values.keep) for (const input of result.discoveries) keepInput(target, input)
  if (result.failure) {
    failures += 1
    console.error(result.failure.error)
    console.error(
      `${target.name}: broken by test/fuzz/corpus/${keepInput(target, result.failure.input, 'failure-')}`,
    )
  }
}
console.log(`${executions} executions, ${failures} failures`)
process.exitCode = failures > 0 ? 1 : 0
