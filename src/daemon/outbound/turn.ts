/** Whoever waits for something that has come. */
interface Waiting {
  wake(): void
}

/**
 * Those for whom bytes have come, told together once the event loop has read all that there is to read.
 *
 * Each step of a request is then taken for all of them, one after the other, while its code is in the processor's
 * caches: a tenth to a quarter less CPU with many connections (cohort scheduling, Larus and Parkes, USENIX 2002).
 */
export class Turn {
  #waiting: Waiting[] = []

  add(waiting: Waiting): void {
    if (this.#waiting.push(waiting) === 1) setImmediate(this.#tell)
  }

  readonly #tell = (): void => {
    const told = this.#waiting
    this.#waiting = []
    for (const waiting of told) waiting.wake()
  }
}
