import type { ConnectedHttp2, ResponseStream } from '#daemon/http2'

interface Entry<Owner> {
  readonly key: string
  readonly connection: ConnectedHttp2
  /** Whoever used it last. */
  owner: Owner
  /** Monotonic time since which no request has been under way. */
  idleSince: number
}

/**
 * HTTP/2 connections to upstreams, each for many requests at a time. As in `Pool`, who shares a key shares
 * connections, and `owner` is what `retain` judges.
 */
export class SharedPool<Owner> {
  readonly #byKey = new Map<string, Set<Entry<Owner>>>()
  /** In the order in which they became idle. */
  readonly #idle = new Set<Entry<Owner>>()
  readonly #maxIdle: number
  readonly #now: () => number

  constructor({ maxIdle, now }: { maxIdle: number; now: () => number }) {
    this.#maxIdle = maxIdle
    this.#now = now
  }

  /** Connections without a request under way. */
  get idle(): number {
    return this.#idle.size
  }

  /** A new request on a connection that has room for it. */
  take(key: string, owner: Owner): ResponseStream | undefined {
    for (const entry of this.#byKey.get(key) ?? []) {
      if (!entry.connection.hasRoom) continue
      entry.owner = owner
      this.#idle.delete(entry)
      return entry.connection.start()
    }
    return undefined
  }

  /** Shares a new connection; over the bound, the one idle longest is closed. */
  add(key: string, connection: ConnectedHttp2, owner: Owner): void {
    const entry: Entry<Owner> = { key, connection, owner, idleSince: this.#now() }
    const siblings = this.#byKey.get(key)
    if (siblings) siblings.add(entry)
    else this.#byKey.set(key, new Set([entry]))
    this.#idle.add(entry)
    connection.onClose = () => this.#remove(entry)
    connection.onIdle = () => {
      if (!this.#byKey.get(key)?.has(entry)) return
      entry.idleSince = this.#now()
      this.#idle.add(entry)
      if (this.#idle.size > this.#maxIdle) this.#close(this.#idle.values().next().value!)
    }
  }

  /** Closes those whose owner no longer `holds`; requests under way on them end by themselves. */
  retain(holds: (owner: Owner) => boolean): void {
    for (const entries of this.#byKey.values()) {
      for (const entry of entries) if (!holds(entry.owner)) this.#close(entry)
    }
  }

  /** Closes those idle since `before` or longer. */
  closeIdle(before: number): void {
    for (const entry of this.#idle) {
      if (entry.idleSince > before) return
      this.#close(entry)
    }
  }

  #close(entry: Entry<Owner>): void {
    this.#remove(entry)
    if (entry.connection.streams === 0) entry.connection.destroy()
    else entry.connection.close()
  }

  #remove(entry: Entry<Owner>): void {
    this.#idle.delete(entry)
    const siblings = this.#byKey.get(entry.key)
    siblings?.delete(entry)
    if (siblings?.size === 0) this.#byKey.delete(entry.key)
  }
}
