interface Waiting<Ask, Answer> {
  readonly ask: Ask
  readonly answered: PromiseWithResolvers<Answer>
}

/**
 * Answers many asks at once: those that come while a round of their key is under way wait for the next one. So what an
 * answer says was read after it was asked for, and however many ask, one round of a key is under way at a time.
 * `run` answers in the order of the asks; what it throws, all of its round are told.
 */
export function openRounds<Key, Ask, Answer>(
  run: (key: Key, asks: readonly Ask[]) => Promise<readonly Answer[]>,
): (key: Key, ask: Ask) => Promise<Answer> {
  /** A key is here as long as a round of it is under way. */
  const waiting = new Map<Key, Waiting<Ask, Answer>[]>()

  async function runAll(key: Key, first: Waiting<Ask, Answer>): Promise<void> {
    for (let round = [first]; round.length > 0; round = waiting.get(key)!) {
      waiting.set(key, [])
      try {
        const asks = round.map(({ ask }) => ask)
        const answers = await run(key, asks)
        for (const [index, { answered }] of round.entries()) answered.resolve(answers[index]!)
      } catch (error) {
        for (const { answered } of round) answered.reject(error)
      }
    }
    waiting.delete(key)
  }
  return (key, ask) => {
    const one = { ask, answered: Promise.withResolvers<Answer>() }
    const others = waiting.get(key)
    if (others) others.push(one)
    else void runAll(key, one)
    return one.answered.promise
  }
}
