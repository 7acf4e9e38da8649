import type { Random } from './random.ts'

/** Inputs grow no further than this: the bounds of the parsers have tests of their own. */
const maxBytes = 4096
const interesting = [0, 1, 9, 10, 13, 32, 35, 43, 44, 45, 48, 58, 59, 92, 127, 128, 255] as const

type Mutation = (input: Buffer, random: Random, context: Context) => Buffer

interface Context {
  readonly corpus: readonly Buffer[]
  readonly tokens: readonly Buffer[]
}

/** `input` with one to four random changes. */
export function mutate(input: Buffer, random: Random, context: Context): Buffer {
  let mutated: Buffer = Buffer.from(input)
  for (let left = 1 + random.below(4); left > 0; left -= 1) {
    mutated = random.pick(mutations)(mutated, random, context)
  }
  return mutated.subarray(0, maxBytes)
}

function replaced(input: Buffer, start: number, end: number, inserted: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, start), inserted, input.subarray(end)])
}

/** A random range of `input`, mostly short. */
function range(input: Buffer, random: Random): [start: number, end: number] {
  const start = random.below(input.length + 1)
  const length = random.below(random.pick([2, 8, 64]))
  return [start, Math.min(input.length, start + length)]
}

const mutations: readonly Mutation[] = [
  function flipBit(input, random) {
    if (input.length > 0) input[random.below(input.length)]! ^= 1 << random.below(8)
    return input
  },
  function setByte(input, random) {
    if (input.length > 0) input[random.below(input.length)] = random.pick([...interesting, random.below(256)])
    return input
  },
  function insertByte(input, random) {
    const at = random.below(input.length + 1)
    return replaced(input, at, at, Uint8Array.of(random.pick(interesting)))
  },
  function insertToken(input, random, { tokens }) {
    const at = random.below(input.length + 1)
    return replaced(input, at, at, random.pick(tokens))
  },
  function replaceByToken(input, random, { tokens }) {
    return replaced(input, ...range(input, random), random.pick(tokens))
  },
  function remove(input, random) {
    return replaced(input, ...range(input, random), Buffer.alloc(0))
  },
  function repeat(input, random) {
    const [start, end] = range(input, random)
    return replaced(input, start, start, input.subarray(start, end))
  },
  function truncate(input, random) {
    return input.subarray(0, random.below(input.length + 1))
  },
  function cross(input, random, { corpus }) {
    const other = random.pick(corpus)
    return Buffer.concat([
      input.subarray(0, random.below(input.length + 1)),
      other.subarray(random.below(other.length + 1)),
    ])
  },
]
