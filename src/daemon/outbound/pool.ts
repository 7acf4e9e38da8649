import type { Link } from './link.ts'

interface Idle<Owner> {
  readonly key: string
  readonly link: Link
  readonly owner: Owner
  readonly since: number
}

/**
 * Upstream connections between two requests. Who shares a key shares connections, so the key holds all that must
 * not mix (security rule 16). Bytes, an end or a close remove a connection at once: an idle upstream has nothing
 * to say. `owner` is what `retain` judges.
 */
export class Pool<Owner> {
  /** In the order in which they became idle. */
  readonly #idle = new Set<Idle<Owner>>()
  readonly #byKey = new Map<string, Idle<Owner>[]>()
  readonly #maxTotal: number
  readonly #maxPerKey: number

  constructor({ maxTotal, maxPerKey }: { maxTotal: number; maxPerKey: number }) {
    this.#maxTotal = maxTotal
    this.#maxPerKey = maxPerKey
  }

  get size(): number {
    return this.#idle.size
  }

  /** The connection used last under this key: it is the least likely to be closed by the other side. */
  take(key: string): Link | undefined {
    const entry = this.#byKey.get(key)?.at(-1)
    if (!entry) return undefined
    this.#remove(entry)
    return entry.link
  }

  /** Keeps a connection on which nothing is under way; over a bound, the one idle longest is closed. */
  give(key: string, link: Link, owner: Owner, now: number): void {
    if (link.ended || link.closed || link.held.length > 0) return link.destroy()
    const entry = { key, link, owner, since: now }
    const siblings = this.#byKey.get(key)
    if (siblings) siblings.push(entry)
    else this.#byKey.set(key, [entry])
    this.#idle.add(entry)
    link.onUnasked = () => this.#close(entry)
    if (siblings && siblings.length > this.#maxPerKey) this.#close(siblings[0]!)
    if (this.#idle.size > this.#maxTotal) this.#close(this.#idle.values().next().value!)
  }

  /** Closes those whose owner no longer `holds`. */
  retain(holds: (owner: Owner) => boolean): void {
    for (const entry of this.#idle) if (!holds(entry.owner)) this.#close(entry)
  }

  /** Closes those idle since `before` or longer. */
  closeIdle(before: number): void {
    for (const entry of this.#idle) {
      if (entry.since > before) return
      this.#close(entry)
    }
  }

  #close(entry: Idle<Owner>): void {
    this.#remove(entry)
    entry.link.destroy()
  }

  #remove(entry: Idle<Owner>): void {
    entry.link.onUnasked = undefined
    this.#idle.delete(entry)
    const siblings = this.#byKey.get(entry.key)!
    siblings.splice(siblings.lastIndexOf(entry), 1)
    if (siblings.length === 0) this.#byKey.delete(entry.key)
  }
}
