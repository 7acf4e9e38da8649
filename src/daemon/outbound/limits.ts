/** The bounds of one data plane. Durations in milliseconds; deadlines are checked once a second. */
export interface Limits {
  /** Beyond these, a new connection is reset. */
  readonly maxConnections: number
  readonly maxConnectionsPerUid: number
  readonly maxConnectionsPerIdentity: number
  /** Of which a part of the ClientHello has come: a whole one at once does not count. */
  readonly maxPartialHellos: number
  readonly maxPartialHellosPerIdentity: number
  /**
   * Beyond these, a request over HTTP/2 is turned away; they count beside the connections that carry them.
   */
  readonly maxStreams: number
  readonly maxStreamsPerIdentity: number
  readonly maxStreamsPerConnection: number
  /** Beyond these, the upstream connection that has been idle longest is closed. */
  readonly maxIdleUpstreams: number
  readonly maxIdleUpstreamsPerKey: number
  /** One body that is held until it is hashed, those of one identity, and all together: beyond, a request is refused. */
  readonly maxBufferedBody: number
  readonly maxBufferedPerIdentity: number
  readonly maxBufferedTotal: number
  /**
   * What else waits here for a peer that does not read or does not go on, beyond 16 KiB of each request or spliced
   * connection: of one identity (of one user, where it is spliced), and all together. Weighed once a second; beyond,
   * the largest are given up. What TLS keeps beside it cannot be seen: in all a process was measured to take up to four
   * times as much.
   */
  readonly maxBacklogPerIdentity: number
  readonly maxBacklogTotal: number
  /** How long a client may say nothing before we dial, so that a server may speak first. */
  readonly silenceMs: number
  /** From the first byte of a ClientHello to its last. Before the first a client has `clientIdleMs`. */
  readonly helloMs: number
  /** From the end of the ClientHello to that of the TLS handshake with the client. */
  readonly handshakeMs: number
  /** From the first byte of a request head to its last. */
  readonly headMs: number
  /** Between two requests of a client. */
  readonly clientIdleMs: number
  /** Without any progress of a request body. */
  readonly bodyMs: number
  /** Without any byte from upstream after a request was sent. */
  readonly responseMs: number
  /** Without any byte either way over a WebSocket. */
  readonly webSocketIdleMs: number
  /** Until TCP and TLS to an upstream address are up. */
  readonly dialMs: number
  /** An unused upstream connection: below what cloud endpoints allow, so that we close first. */
  readonly upstreamIdleMs: number
  /** How long the rest of a body is read and dropped after an early response. */
  readonly lingerMs: number
}

export const defaultLimits: Limits = Object.freeze({
  maxConnections: 8192,
  maxConnectionsPerUid: 4096,
  maxConnectionsPerIdentity: 4096,
  maxPartialHellos: 2048,
  maxPartialHellosPerIdentity: 512,
  maxStreams: 4096,
  maxStreamsPerIdentity: 2048,
  maxStreamsPerConnection: 100,
  maxIdleUpstreams: 1024,
  maxIdleUpstreamsPerKey: 128,
  maxBufferedBody: 16 * 1024 * 1024,
  maxBufferedPerIdentity: 64 * 1024 * 1024,
  maxBufferedTotal: 128 * 1024 * 1024,
  maxBacklogPerIdentity: 64 * 1024 * 1024,
  maxBacklogTotal: 128 * 1024 * 1024,
  silenceMs: 250,
  helloMs: 10_000,
  handshakeMs: 10_000,
  headMs: 30_000,
  clientIdleMs: 300_000,
  bodyMs: 60_000,
  responseMs: 900_000,
  webSocketIdleMs: 1_800_000,
  dialMs: 10_000,
  upstreamIdleMs: 15_000,
  lingerMs: 5_000,
})
