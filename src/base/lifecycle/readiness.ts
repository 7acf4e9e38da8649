/** Ready when every named blocker has been released; names what still blocks. */
export interface Readiness {
  /** Adds a blocker; the returned function releases it (idempotent). */
  block(name: string): () => void
  /** Names of the blockers that remain, in the order added. */
  blockers(): readonly string[]
  /** Resolves when nothing blocks. */
  untilReady(): Promise<void>
}

export function openReadiness(): Readiness {
  const blockers = new Set<{ name: string }>()
  const waiting: (() => void)[] = []
  const release = () => {
    if (blockers.size === 0) for (const resolve of waiting.splice(0)) resolve()
  }
  return {
    block(name) {
      const blocker = { name }
      blockers.add(blocker)
      return () => {
        if (blockers.delete(blocker)) release()
      }
    },
    blockers: () => [...blockers].map(({ name }) => name),
    untilReady: () =>
      new Promise((resolve) => {
        if (blockers.size === 0) resolve()
        else waiting.push(resolve)
      }),
  }
}
