import type { Grant } from '#model/policy'
import { Fault } from '#base/errors'
import {
  formatRequestHead,
  parseRequestHead,
  type ParsedRequest,
  type RequestHead,
  type ResponseHead,
} from '#wire/http1'
import { admit, isRefusal, sameKind, type UsableGrant } from './admission.ts'
import type { Holder } from './backlog.ts'
import type { Bearer, Served } from './bearer.ts'
import { Exchange, type Outcome } from './exchange.ts'
import type { Link } from './link.ts'
import type { Plane } from './plane.ts'
import { reachUpstream } from './reach.ts'
import { failure, formatRefusal, type Refusal } from './refusal.ts'
import { signRequest, type Admitted } from './signed-head.ts'
import { Turn } from './turn.ts'
import type { Protocol } from './upstream-tls.ts'
import type { Upstream } from './upstreams.ts'
import { relayWebSocket, switchHeaders } from './websocket.ts'

type Ended = Exclude<Outcome, { kind: 'switched' }>

/** Sessions whose clients have sent something of a head. */
const requests = new Turn()
/** What a head takes in memory while its request is under way: its bytes, their text, and what is signed and sent. */
const headCopies = 4

/** RFC 9110 section 9.2.2, less TRACE. */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/**
 * One intercepted connection: reads its requests one after the other, and sends those that the policy of the moment
 * grants, signed, to the verified host of its route. It ends when the client does, when its identity changes, or
 * when it is cut.
 */
export class Session implements Served, Holder {
  readonly bearer: Bearer
  /** How long whoever keeps this session waiting may do so, in milliseconds. */
  #patience = Infinity
  /** Monotonic time at which that is over; counted from the next sweep on, as requests come many between two. */
  #deadline: number | undefined
  readonly #plane: Plane
  readonly #client: Link
  readonly #protocol: Protocol
  #upstream: Upstream | undefined
  #exchange: Exchange | undefined
  #head: RequestHead | undefined
  #headBytes = 0
  /** Of its body, where that is held: counted as such. */
  #bodyBytes = 0
  #isShed = false
  /** Ends the wait for an upstream that is not there yet. */
  #callOff: (() => void) | undefined
  /** Upstream has not answered in time: asking it again would only double the wait. */
  #isGivenUp = false
  #cutReason: string | undefined

  /** `protocol` is what the client speaks: where upstream speaks it too, it is spoken all the way. */
  constructor(plane: Plane, client: Link, bearer: Bearer, protocol: Protocol) {
    this.#plane = plane
    this.#client = client
    this.#protocol = protocol
    this.bearer = bearer
    client.onClose = () => this.#upstream?.link.destroy()
  }

  async run(): Promise<void> {
    while (await this.#next());
    await this.#close()
  }

  cut(reason: string): void {
    if (this.#cutReason !== undefined) return
    const { ledger, counters, log } = this.#plane
    const { grant, route } = this.bearer
    this.#cutReason = reason
    counters.cut += 1
    log.info('outbound.cut', { identity: route.identity.name, host: route.host, reason })
    this.#client.destroy()
    this.#upstream?.link.destroy()
    void ledger.note({ route, head: this.#head, grant, decision: 'cut', reason })
  }

  sweep(now: number): void {
    this.#deadline ??= now + this.#patience
    if (this.#deadline > now) return
    this.#deadline = Infinity
    if (this.#callOff) return this.#callOff()
    const upstream = this.#upstream
    if (!upstream || this.#exchange?.started) return this.#client.destroy()
    this.#isGivenUp = true
    upstream.link.error ??= new Error('no answer in time')
    upstream.distrust()
  }

  get holders(): readonly Holder[] {
    return [this]
  }

  get backlog(): number {
    const upstream = this.#upstream?.link.backlog ?? 0
    const sent = Math.max(0, upstream - this.#bodyBytes)
    return this.#client.backlog + sent + headCopies * this.#headBytes
  }

  /** Whoever can still be told is told once; the others, and whoever does not listen, are cut. */
  shed(reason: string): void {
    const { link } = this.#upstream ?? {}
    const isPastTelling = this.#isShed || !link || this.#exchange?.started
    this.#isShed = true
    if (isPastTelling) return this.cut(`BUFFERS_EXHAUSTED: ${reason}`)
    link.error = new Fault('BUFFERS_EXHAUSTED', reason)
    link.destroy()
  }

  #within(ms: number): void {
    this.#patience = ms
    this.#deadline = undefined
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
    this.#headBytes = parsed.length
    const goesOn = await this.#serve(parsed.head)
    this.#head = undefined
    this.#headBytes = 0
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
      if (!(await client.fill(client.held.length, requests))) return undefined
      if (!begun) this.#within(limits.headMs)
      begun = true
    }
  }

  async #serve(head: RequestHead): Promise<boolean> {
    const { limits, held } = this.#plane
    const asked = this.bearer.authorise()
    const grant = asked instanceof Promise ? await asked : asked
    if (isRefusal(grant)) return this.#refuse(grant)
    const onProgress = () => this.#within(limits.bodyMs)
    onProgress()
    const { route } = this.bearer
    const admitting = admit(this.#plane, this.#client, { head, route, grant, onProgress })
    const admitted = admitting instanceof Promise ? await admitting : admitting
    if (isRefusal(admitted)) return this.#refuse(admitted)
    this.#bodyBytes = admitted.body?.length ?? 0
    try {
      return await this.#forward(admitted, grant)
    } finally {
      this.#bodyBytes = 0
      if (admitted.body) held.leave(route.identity.spiffeId, admitted.body.length)
    }
  }

  #acquire(grant: Grant, { upgrade }: RequestHead, fresh: boolean): Upstream | Promise<Upstream | Refusal> {
    const { limits } = this.#plane
    this.#within(2 * limits.dialMs + limits.handshakeMs)
    const owner = { route: this.bearer.route, grant }
    // Few servers take a WebSocket over HTTP/2, and all do over HTTP/1.1.
    const prefers = upgrade ? 'http/1.1' : this.#protocol
    const reaching = reachUpstream(this.#plane, owner, { fresh, prefers })
    if (!('callOff' in reaching)) return reaching
    this.#callOff = reaching.callOff
    return reaching.reached.finally(() => (this.#callOff = undefined))
  }

  /**
   * Connects, records, signs, sends: in this order, so that nothing is signed that cannot leave at once. A request
   * that has to be repeated goes through all of it again.
   */
  async #forward(admitted: Admitted, admittedUnder: UsableGrant, { fresh = false } = {}): Promise<boolean> {
    const { ledger } = this.#plane
    const acquiring = this.#acquire(admittedUnder, admitted.head, fresh)
    const upstream = acquiring instanceof Promise ? await acquiring : acquiring
    if (isRefusal(upstream)) return this.#refuse(upstream)
    this.#upstream = upstream
    const asked = this.bearer.authorise()
    const grant = sameKind(asked instanceof Promise ? await asked : asked, admittedUnder)
    if (isRefusal(grant)) {
      this.#release(upstream)
      return this.#refuse(grant)
    }
    let record: string
    try {
      record = await ledger.start({
        route: this.bearer.route,
        head: admitted.head,
        grant,
        decision: 'injected',
      })
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
    if (upstream.reused && (upstream.link.ended || upstream.link.held.length > 0)) {
      // SECURITY: closed while it was kept, or what lies on it answers nothing that was asked (RFC 9112 section 9.2).
      // Nothing is sent on it, so that any request may have another.
      this.#upstream = undefined
      const reason = upstream.link.ended
        ? 'upstream closed the connection'
        : 'upstream spoke before it was asked'
      upstream.link.destroy()
      ledger.end(record, { status: 0, reason })
      return this.#forward(admitted, grant, { fresh: true })
    }
    return await this.#send(admitted, grant, { upstream, record, isRepeat: fresh })
  }

  async #send(
    admitted: Admitted,
    grant: UsableGrant,
    attempt: { readonly upstream: Upstream; readonly record: string; readonly isRepeat: boolean },
  ): Promise<boolean> {
    const { upstream, record, isRepeat } = attempt
    const { clock, counters, ledger, limits, skews } = this.#plane
    const { host, tls } = this.bearer.route
    const { head, body } = admitted
    const request = signRequest(admitted, grant.current, clock.now() + skews.offsetMs(host))
    const { method, target, replaced, transformer } = request
    const headers = head.upgrade ? [...request.headers, ...switchHeaders] : request.headers
    const signed = formatRequestHead({ method, target, headers })
    const streams = !body && head.framing.kind !== 'none'
    // A body of unannounced length may be one side of a conversation, with pauses in it.
    const bodyMs = head.framing.kind === 'chunked' ? limits.responseMs : limits.bodyMs
    const begun = clock.monotonic()
    counters.injected += 1
    const { link } = upstream
    const before = { sent: link.sent, received: link.received }
    this.#within(limits.responseMs)
    this.#exchange = new Exchange({
      client: this.#client,
      upstream: link,
      head,
      signed,
      replaced,
      body,
      streams,
      transformer,
      onProgress: (what) => this.#within(what === 'body' ? bodyMs : limits.responseMs),
      onResponse: ({ headers }) => tls && skews.learn(host, headers),
    })
    const answered = await this.#exchange.run()
    const outcome = answered.kind === 'switched' ? await this.#switch(link, answered.grant) : answered
    this.#upstream = undefined
    if (outcome.kind === 'done' && outcome.upstreamReusable) upstream.release()
    else link.destroy()
    ledger.end(record, {
      status: 'status' in outcome ? outcome.status : 0,
      requestBytes: link.sent - before.sent,
      responseBytes: link.received - before.received,
      durationMs: clock.monotonic() - begun,
      ...('reason' in outcome && { reason: this.#cutReason ?? outcome.reason }),
    })
    const isFinal = this.#over || this.#isGivenUp || isRepeat || streams
    if (!isFinal && mayRepeat(outcome, upstream, head)) {
      return this.#forward(admitted, grant, { fresh: true })
    }
    return this.#conclude(outcome)
  }

  async #switch(upstream: Link, grant: ResponseHead): Promise<Ended> {
    const onProgress = () => this.#within(this.#plane.limits.webSocketIdleMs)
    const reason = await relayWebSocket({ client: this.#client, upstream }, grant, onProgress)
    const { status } = grant
    if (reason !== undefined) return { kind: 'broken', status, reason }
    return { kind: 'done', status, upstreamReusable: false, clientReusable: false }
  }

  async #conclude(outcome: Ended): Promise<boolean> {
    if (outcome.kind === 'done') return outcome.clientReusable
    if (outcome.kind === 'broken') {
      this.#client.destroy()
      return false
    }
    return this.#over ? false : this.#answer(failure(outcome))
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
    const { route, grant } = this.bearer
    if (this.#over) return false
    const reason = `${refusal.code}: ${refusal.reason}`
    await this.#plane.ledger.note({ route, head: this.#head, grant, decision: 'refused', reason })
    return this.#answer(refusal)
  }

  /** SECURITY: waits until it is on its way: who asks on and never reads would pile up answers here without end. */
  async #answer(refusal: Refusal): Promise<boolean> {
    this.#within(this.#plane.limits.bodyMs)
    this.#plane.counters.refused += 1
    const head = this.#head
    // A body that nobody reads would be taken for the next request.
    const unread = head !== undefined && head.framing.kind !== 'none'
    const close = refusal.closes === true || !head?.keepAlive || unread
    const drained = this.#client.write(formatRefusal(refusal, { head, close }))
    // Behind the last one nothing piles up, and what the client still sends has to be read.
    if (drained && !close) await drained
    return !close
  }

  /** Ends in order: what was written arrives although the client may still be sending (RFC 9112 section 9.6). */
  async #close(): Promise<void> {
    const client = this.#client
    this.#within(this.#plane.limits.lingerMs)
    client.end()
    await this.#exchange?.upload
    do client.take(client.held.length)
    while (await client.fill())
    client.socket.destroySoon()
  }
}

/**
 * Only what provably did no harm the first time: upstream closed a kept connection meanwhile, said itself that it
 * did not look at the request, or that it wants the other protocol.
 */
function mayRepeat(outcome: Ended, upstream: Upstream, { method }: RequestHead): boolean {
  if (outcome.kind !== 'unanswered') return false
  if (upstream.needsHttp1) return idempotent.has(method)
  return upstream.reused && (upstream.refused || idempotent.has(method))
}
