import type { TLSSocket } from 'node:tls'
import { acceptHttp2, type AcceptedHttp2, type RequestStream } from '#daemon/http2'
import type { Holder } from './backlog.ts'
import type { Bearer, Served } from './bearer.ts'
import { Link } from './link.ts'
import type { Plane } from './plane.ts'
import { Session } from './session.ts'

/**
 * One intercepted connection that speaks HTTP/2: every request on it is a session of its own, and all of them are
 * of one bearer. It ends when the client does, when nothing was asked for a while, or when it is cut.
 */
export class Multiplex implements Served {
  readonly bearer: Bearer
  readonly #plane: Plane
  readonly #connection: AcceptedHttp2
  readonly #sessions = new Set<Session>()
  readonly #closed = Promise.withResolvers<void>()
  /** Monotonic time since which no request has been under way. */
  #idleSince: number

  constructor(plane: Plane, client: TLSSocket, bearer: Bearer) {
    this.#plane = plane
    this.bearer = bearer
    this.#idleSince = plane.clock.monotonic()
    this.#connection = acceptHttp2(client, {
      maxStreams: plane.limits.maxStreamsPerConnection,
      random: plane.random,
      onRequest: (request) => void this.#serve(request),
      onClose: (violation) => {
        if (violation !== undefined) this.#report(violation)
        this.#closed.resolve()
      },
    })
  }

  /** Resolves when the connection has closed. */
  run(): Promise<void> {
    return this.#closed.promise
  }

  cut(reason: string): void {
    const { counters, ledger } = this.#plane
    const { route, grant } = this.bearer
    if (this.#sessions.size === 0) {
      counters.cut += 1
      void ledger.note({ route, head: undefined, grant, decision: 'cut', reason })
    }
    for (const session of this.#sessions) session.cut(reason)
    this.#connection.destroy()
  }

  sweep(now: number): void {
    for (const session of this.#sessions) session.sweep(now)
    if (this.#sessions.size > 0 || now < this.#idleSince + this.#plane.limits.clientIdleMs) return
    this.#connection.destroy()
  }

  get holders(): Iterable<Holder> {
    return this.#sessions
  }

  /** What a client did that no request of its own can be answered for. */
  #report(violation: string): void {
    const { counters, ledger } = this.#plane
    const { route, grant } = this.bearer
    counters.refused += 1
    const reason = `WIRE_MALFORMED: HTTP/2: ${violation}`
    void ledger.note({ route, head: undefined, grant, decision: 'refused', reason })
  }

  async #serve(request: RequestStream): Promise<void> {
    const { streams, clock, log } = this.#plane
    const { spiffeId } = this.bearer.route.identity
    if (!streams.enter(spiffeId)) return request.refuse()
    const session = new Session(this.#plane, new Link(request), this.bearer, 'h2')
    this.#sessions.add(session)
    try {
      await session.run()
    } catch (error) {
      log.warn('outbound.failed', { error, pid: this.bearer.route.origin.process.pid })
      request.destroy()
    } finally {
      streams.leave(spiffeId)
      this.#sessions.delete(session)
      this.#idleSince = clock.monotonic()
    }
  }
}
