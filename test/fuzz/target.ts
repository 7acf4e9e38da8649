import assert from 'node:assert/strict'
import type { Random } from './random.ts'

/** One parser under attack. */
export interface Target {
  readonly name: string
  /** Pieces that occur in real inputs. */
  readonly tokens: readonly Buffer[]
  /**
   * Parses `input` and throws an AssertionError when an invariant is broken. Answers what became of it in a few
   * words: an input with an answer not seen before joins the corpus.
   */
  check(input: Buffer, random: Random): string | Promise<string>
}

/** Text as bytes, a character each. */
export function bytesOf(...texts: readonly string[]): Buffer[] {
  return texts.map((text) => Buffer.from(text, 'latin1'))
}

/** What a parser of growing input must keep: a final answer on a prefix stays the answer on the whole. */
export function assertStable<T extends { kind: string }>(
  parse: (bytes: Buffer) => T,
  input: Buffer,
  random: Random,
): T {
  const whole = parse(input)
  const early = parse(input.subarray(0, random.below(input.length + 1)))
  if (early.kind === 'incomplete') return whole
  // A refusal may name another reason once more is known; it must not become an acceptance.
  if (early.kind === 'refused') assert.equal(whole.kind, 'refused')
  else assert.deepEqual(whole, early)
  return whole
}
