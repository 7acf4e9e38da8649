import type { RequestStart } from '#model/audit'
import type { Decision, Grant, Policy } from '#model/policy'
import { isFault, toFault } from '#base/errors'
import { formatRequestHead, parseRequestHead, type ParsedRequest, type RequestHead } from '#wire/http1'
import { admit, isRefusal, usable, type UsableGrant } from './admission.ts'
import { Exchange, type Outcome } from './exchange.ts'
import type { Link } from './link.ts'
import type { Plane } from './plane.ts'
import { formatRefusal, type Refusal } from './refusal.ts'
import { queryOf, type Route } from './route.ts'
import { signRequest, type Admitted } from './signed-head.ts'
import type { Upstream } from './upstreams.ts'

/** RFC 9110 section 9.2.2, less TRACE. */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/**
 * One intercepted connection: reads its requests one after the other, and sends those that the policy of the moment
 * grants, signed, to the verified host of its route. It ends when the client does, when its identity changes, or
 * when it is cut.
 */
export class Session {
  route: Route
  /** Under which the last request went; what `cut` is judged by. */
  grant: Grant | undefined
  /** Monotonic time at which `overdue` is to be called. */
  deadline = Infinity
  readonly #plane: Plane
  readonly #client: Link
  #upstream: Upstream | undefined
  #exchange: Exchange | undefined
  #head: RequestHead | undefined
  /** The last decision and what it was based on. */
  #decided: { policy: Policy; route: Route; decision: Decision } | undefined
  #cutReason: string | undefined

  constructor(plane: Plane, client: Link, route: Route, grant: Grant | undefined) {
    this.#plane = plane
    this.#client = client
    this.route = route
    this.grant = grant
    client.onClose = () => this.#upstream?.link.destroy()
  }

  async run(): Promise<void> {
    while (await this.#next());
    await this.#close()
  }

  /** Ends both halves at once, in the middle of whatever is under way. */
  cut(reason: string): void {
    if (this.#cutReason !== undefined) return
    const { ledger, counters, log } = this.#plane
    const { grant, route } = this
    this.#cutReason = reason
    counters.cut += 1
    log.info('outbound.cut', { identity: route.identity.name, host: route.host, reason })
    this.#client.destroy()
    this.#upstream?.link.destroy()
    void ledger.note({ route, head: this.#head, grant, decision: 'cut', reason })
  }

  /** Gives up on whoever keeps this session waiting. */
  overdue(): void {
    this.deadline = Infinity
    const { link } = this.#upstream ?? {}
    if (!link || this.#exchange?.started) return this.#client.destroy()
    link.error ??= new Error('no answer in time')
    link.destroy()
  }

  #within(ms: number): void {
    this.deadline = this.#plane.clock.monotonic() + ms
  }

  /** Serves one request; false when no other can follow. */
  async #next(): Promise<boolean> {
    const parsed = await this.#readHead()
    if (!parsed) return false
    this.#plane.counters.requests += 1
    if (parsed.kind === 'refused') {
      return this.#refuse({ ...parsed, code: 'WIRE_MALFORMED', closes: true })
    }
    this.#client.take(parsed.length)
    this.#head = parsed.head
    const goesOn = await this.#serve(parsed.head)
    this.#head = undefined
    if (goesOn) this.#exchange = undefined
    return goesOn
  }

  async #readHead(): Promise<Exclude<ParsedRequest, { kind: 'incomplete' }> | undefined> {
    const { limits } = this.#plane
    const client = this.#client
    let begun = client.held.length > 0
    this.#within(begun ? limits.headMs : limits.clientIdleMs)
    for (;;) {
      const parsed = parseRequestHead(client.held)
      if (parsed.kind !== 'incomplete') return parsed
      if (!(await client.fill())) return undefined
      if (!begun) this.#within(limits.headMs)
      begun = true
    }
  }

  async #serve(head: RequestHead): Promise<boolean> {
    const { limits, budget } = this.#plane
    const grant = await this.#authorise()
    if (isRefusal(grant)) return this.#refuse(grant)
    this.#within(limits.bodyMs)
    const admitted = await admit(this.#plane, this.#client, { head, route: this.route, grant })
    if (isRefusal(admitted)) return this.#refuse(admitted)
    try {
      return await this.#forward(admitted, grant)
    } finally {
      budget.give(admitted.body?.length ?? 0)
    }
  }

  /** What is granted to whom at this moment: asked before a request is looked at, and again before it leaves. */
  #authorise(): UsableGrant | Refusal | Promise<UsableGrant | Refusal> {
    return this.#plane.identifier.stillHolds(this.route.origin) ? this.#granted() : this.#identifyAgain()
  }

  #granted(): UsableGrant | Refusal {
    const { policy } = this.#plane
    const { route } = this
    if (this.#decided?.policy !== policy || this.#decided.route !== route) {
      this.#decided = { policy, route, decision: policy.decide(queryOf(route)) }
    }
    const grant = usable(this.#plane, route, this.#decided.decision)
    if (!isRefusal(grant)) this.grant = grant
    return grant
  }

  /** SECURITY: an exec or a change of credentials on an open connection makes it somebody else's (rule 10). */
  async #identifyAgain(): Promise<UsableGrant | Refusal> {
    const { origin, identity } = this.route
    try {
      const verdict = await this.#plane.identifier.identify(origin)
      if (verdict.kind === 'identified' && verdict.identity.spiffeId === identity.spiffeId) {
        this.route = { ...this.route, identity: verdict.identity, executable: verdict.executable }
        return this.#granted()
      }
    } catch (error) {
      this.#plane.log.warn('outbound.attestation', { error })
      if (isFault(error, 'DAEMON_UNREACHABLE')) {
        return { status: 503, code: error.code, reason: error.message, closes: true }
      }
    }
    const reason = 'the process behind this connection is not the one that opened it'
    return { status: 403, code: 'ATTESTATION_FAILED', reason, closes: true }
  }

  async #acquire(grant: Grant, fresh: boolean): Promise<Upstream | Refusal> {
    const { upstreams, conditions, limits } = this.#plane
    const subject = `service/${grant.service.name}`
    this.#within(2 * limits.dialMs + limits.handshakeMs)
    try {
      const upstream = await upstreams.acquire({ route: this.route, grant }, { fresh })
      conditions.clear(subject, 'UpstreamVerified')
      conditions.clear(subject, 'UpstreamReachable')
      return upstream
    } catch (error) {
      const { code, message } = toFault(error, 'UPSTREAM_UNREACHABLE')
      const type = code === 'UPSTREAM_UNVERIFIED' ? 'UpstreamVerified' : 'UpstreamReachable'
      conditions.raise(subject, type, code, message)
      return { status: 502, code, reason: message }
    }
  }

  /** Connects, records, signs, sends: in this order, so that nothing is signed that cannot leave at once. */
  async #forward(admitted: Admitted, admittedUnder: Grant): Promise<boolean> {
    const { ledger } = this.#plane
    const upstream = await this.#acquire(admittedUnder, false)
    if (isRefusal(upstream)) return this.#refuse(upstream)
    this.#upstream = upstream
    const grant = await this.#authorise()
    if (isRefusal(grant)) {
      this.#release(upstream)
      return this.#refuse(grant)
    }
    let record: RequestStart
    try {
      record = await ledger.start({ route: this.route, head: admitted.head, grant, decision: 'injected' })
    } catch {
      this.#release(upstream)
      const reason = 'the audit record could not be written'
      return this.#answer({ status: 503, code: 'AUDIT_UNAVAILABLE', reason })
    }
    if (this.#over) {
      this.#release(upstream)
      ledger.end(record, {
        status: 0,
        reason: this.#cutReason ?? 'the client left before its request was sent',
      })
      return false
    }
    return this.#send(admitted, grant, upstream, record)
  }

  async #send(
    admitted: Admitted,
    grant: UsableGrant,
    first: Upstream,
    record: RequestStart,
  ): Promise<boolean> {
    const { clock, counters, ledger, limits, skews } = this.#plane
    const { host, tls } = this.route
    const { head, body } = admitted
    const request = signRequest(admitted, grant.aws, clock.now() + skews.offsetMs(host))
    const signed = formatRequestHead(request)
    const streams = !body && head.framing.kind !== 'none'
    const bytes = body ? Buffer.concat([signed, body]) : signed
    const begun = clock.monotonic()
    counters.injected += 1
    let upstream = first
    for (;;) {
      const { link } = upstream
      const before = { sent: link.sent, received: link.received }
      this.#within(limits.responseMs)
      this.#exchange = new Exchange({
        client: this.#client,
        upstream: link,
        head,
        bytes,
        streams,
        transformer: request.transformer,
        onProgress: (what) => this.#within(what === 'body' ? limits.bodyMs : limits.responseMs),
        onResponse: ({ headers }) => tls && skews.learn(host, headers),
      })
      const outcome = await this.#exchange.run()
      this.#upstream = undefined
      if (outcome.kind === 'done' && outcome.upstreamReusable) upstream.release()
      else link.destroy()
      if (this.#mayRetry(outcome, upstream, head, streams)) {
        const again = await this.#acquire(grant, true)
        if (!isRefusal(again) && !this.#over) {
          upstream = again
          this.#upstream = again
          continue
        }
        if (!isRefusal(again)) this.#release(again)
      }
      ledger.end(record, {
        status: 'status' in outcome ? outcome.status : 0,
        requestBytes: link.sent - before.sent,
        responseBytes: link.received - before.received,
        durationMs: clock.monotonic() - begun,
        ...('reason' in outcome && { reason: this.#cutReason ?? outcome.reason }),
      })
      return this.#conclude(outcome)
    }
  }

  /** Only what provably did no harm the first time: a kept connection that the upstream had closed meanwhile. */
  #mayRetry(outcome: Outcome, upstream: Upstream, { method }: RequestHead, streams: boolean): boolean {
    return (
      outcome.kind === 'unanswered' && upstream.reused && !streams && idempotent.has(method) && !this.#over
    )
  }

  async #conclude(outcome: Outcome): Promise<boolean> {
    if (outcome.kind === 'done') return outcome.clientReusable
    if (outcome.kind === 'broken') {
      this.#client.destroy()
      return false
    }
    return this.#answer({ status: 502, code: 'UPSTREAM_UNREACHABLE', reason: outcome.reason, closes: true })
  }

  /** Of an upstream on which nothing was sent. */
  #release(upstream: Upstream): void {
    this.#upstream = undefined
    if (this.#cutReason === undefined) upstream.release()
    else upstream.link.destroy()
  }

  /** Nothing may be sent for this session any more, or to its client. */
  get #over(): boolean {
    return this.#cutReason !== undefined || this.#client.closed
  }

  /** Records the refusal, then answers with it. */
  async #refuse(refusal: Refusal): Promise<boolean> {
    const { route, grant } = this
    if (this.#over) return false
    const reason = `${refusal.code}: ${refusal.reason}`
    await this.#plane.ledger.note({ route, head: this.#head, grant, decision: 'refused', reason })
    return this.#answer(refusal)
  }

  #answer(refusal: Refusal): boolean {
    this.#plane.counters.refused += 1
    const head = this.#head
    // A body that nobody reads would be taken for the next request.
    const unread = head !== undefined && head.framing.kind !== 'none'
    const close = refusal.closes === true || !head?.keepAlive || unread
    void this.#client.write(formatRefusal(refusal, { head, close }))
    return !close
  }

  /** Ends in order: what was written arrives although the client may still be sending (RFC 9112 section 9.6). */
  async #close(): Promise<void> {
    const client = this.#client
    this.#within(this.#plane.limits.lingerMs)
    client.socket.end()
    await this.#exchange?.upload
    do client.take(client.held.length)
    while (await client.fill())
    client.socket.destroySoon()
  }
}
