/** Who has how many bytes in the segments of a writer: of this run, what is older is nobody's. */
export class Shares {
  readonly #totals = new Map<string, number>()
  readonly #segments = new Map<number, Map<string, number>>()

  of(owner: string): number {
    return this.#totals.get(owner) ?? 0
  }

  add(owner: string, segment: number, bytes: number): void {
    let part = this.#segments.get(segment)
    if (!part) this.#segments.set(segment, (part = new Map()))
    part.set(owner, (part.get(owner) ?? 0) + bytes)
    this.#totals.set(owner, this.of(owner) + bytes)
  }

  /** Forgets what was in all segments but these. */
  retain(segments: ReadonlySet<number>): void {
    for (const [segment, part] of this.#segments) {
      if (segments.has(segment)) continue
      this.#segments.delete(segment)
      for (const [owner, bytes] of part) {
        const rest = this.of(owner) - bytes
        if (rest > 0) this.#totals.set(owner, rest)
        else this.#totals.delete(owner)
      }
    }
  }
}
