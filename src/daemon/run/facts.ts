import type { CaptureLevel } from '#model/scope'

/** What `tideway run` has to know of the daemon: the answer to `GET /run`. */
export interface RunFacts {
  readonly level: CaptureLevel
  /** What holds at that level, in words. */
  readonly detail: string
  /** Path of the socket for relays. */
  readonly connectSocket: string
  readonly proxy: { readonly host: string; readonly port: number }
  readonly trustBundle: string
  /** PEM of this daemon's intercept root: what `tideway trust install` adds to the host's store. */
  readonly interceptRootPem: string
  /** The cgroup that the kernel captures; absent when it captures the whole host or nothing. */
  readonly captureCgroup?: string
  /** Ports on which Services of the scope are reached, 443 and 80 included. */
  readonly ports: readonly number[]
  /** Names that a development setting dials elsewhere: they may not resolve. */
  readonly overriddenHosts: readonly string[]
}
