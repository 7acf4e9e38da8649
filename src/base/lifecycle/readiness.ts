/** Why not yet, or not now. */
export interface Obstacle {
  readonly name: string
  readonly why: string
}

/** Whether work may be sent here. */
export interface Readiness {
  /** Something that is waited for, until the returned function is called (idempotent). */
  block(name: string): () => void
  /** Something that has to work: `look` says what is wrong with it, and is called whenever somebody asks. */
  require(name: string, look: () => Promise<string | undefined>): void
  /** What stands in the way now: nothing, when it is ready. */
  obstacles(): Promise<readonly Obstacle[]>
}

export function openReadiness(): Readiness {
  const blockers = new Set<{ name: string }>()
  const required = new Map<string, () => Promise<string | undefined>>()
  return {
    block(name) {
      const blocker = { name }
      blockers.add(blocker)
      return () => void blockers.delete(blocker)
    },
    require: (name, look) => void required.set(name, look),
    async obstacles() {
      const waiting = [...blockers].map(({ name }) => ({ name, why: 'it is still waited for' }))
      const wrong = await Promise.all(
        [...required].map(async ([name, look]) => ({ name, why: (await look()) ?? '' })),
      )
      return [...waiting, ...wrong.filter(({ why }) => why !== '')]
    },
  }
}
