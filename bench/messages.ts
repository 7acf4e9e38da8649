/** What the bench and its children tell each other, over the IPC channel of `fork`. */

export interface UpstreamOrder {
  readonly keyPem: string
  readonly certPem: string
}

export interface ProxyOrder {
  readonly host: string
  readonly upstreamPort: number
  readonly upstreamCaPem: string
}

export interface LoadOrder {
  readonly host: string
  readonly port: number
  readonly caPem: string
  readonly request: string
  readonly connections: number
  readonly seconds: number
}

/** Sent once by a server child when it listens. */
export interface Ready {
  readonly port: number
  /** PEM that its clients need, where it has a CA of its own. */
  readonly caPem?: string
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** The one order that the parent gives to this child, which ends with its parent. */
export function order<T>(): Promise<T> {
  process.once('disconnect', () => process.exit(0))
  return new Promise((resolve) => process.once('message', (message) => resolve(message as T)))
}

export function report(message: Ready | LoadResult): void {
  process.send?.(message)
}
