import type { Store } from '#server/store'

/** The time during which this server leads. */
export interface Term {
  /** Aborts when it leads no more. */
  readonly signal: AbortSignal
  /** The store, in which nothing is written any more once another server leads. */
  readonly store: Store
}

/** This server among those on the same store. */
export interface Leadership extends AsyncDisposable {
  /** Names it among them; another at each start. */
  readonly id: string
  /** Whether this server leads, once it is known who does. */
  isFirst(): Promise<boolean>
  /** Servers that run, this one included, as far as is known. */
  members(): readonly string[]
  /** How long it takes at most until a server that was killed is missed; 0 where there is but one. */
  readonly missedAfterMs: number
  /** Runs `duty` whenever this server leads, and waits for its end before another term; until `signal` aborts. */
  run(options: { signal: AbortSignal; duty: (term: Term) => Promise<void> }): Promise<void>
}
