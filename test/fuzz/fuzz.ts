import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mutate } from './mutate.ts'
import type { Random } from './random.ts'
import type { Target } from './target.ts'

/** Inputs held at once; beyond it new answers are still counted, their inputs no longer mutated. */
const maxCorpus = 1000

function corpusFolder(target: Target): URL {
  return new URL(`corpus/${target.name}/`, import.meta.url)
}

/** The kept inputs of a target: real messages, one input for every answer seen so far, and past failures. */
export function readCorpus(target: Target): Buffer[] {
  const folder = corpusFolder(target)
  return readdirSync(folder)
    .toSorted()
    .map((name) => readFileSync(new URL(name, folder)))
}

/** Adds an input to the corpus under the hash of its bytes and answers the file's name. */
export function keepInput(target: Target, input: Buffer, prefix = ''): string {
  const name = `${prefix}${createHash('sha256').update(input).digest('hex').slice(0, 16)}`
  const folder = corpusFolder(target)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(name, folder), input)
  return `${target.name}/${name}`
}

export interface FuzzResult {
  readonly executions: number
  /** Inputs whose answer was new. */
  readonly discoveries: readonly Buffer[]
  /** The input that broke an invariant; the run ends with it. */
  readonly failure?: { readonly input: Buffer; readonly error: unknown }
}

/** Checks the corpus, then mutations of it while `wants(executions)` says so. */
export async function fuzz(
  target: Target,
  { random, wants }: { random: Random; wants: (executions: number) => boolean },
): Promise<FuzzResult> {
  const kept = readCorpus(target)
  const corpus = [...kept]
  const answers = new Set<string>()
  const discoveries: Buffer[] = []
  const context = { corpus, tokens: target.tokens }
  let executions = 0
  while (executions < kept.length || wants(executions)) {
    const input = kept[executions] ?? mutate(random.pick(corpus), random, context)
    try {
      const answer = await target.check(input, random)
      if (!answers.has(answer)) {
        answers.add(answer)
        if (executions >= kept.length && corpus.length < maxCorpus) {
          corpus.push(input)
          discoveries.push(input)
        }
      }
    } catch (error) {
      return { executions, discoveries, failure: { input, error } }
    }
    executions += 1
  }
  return { executions, discoveries }
}
