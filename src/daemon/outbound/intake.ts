import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext } from 'node:tls'
import { isFault } from '#base/errors'
import type { ConnectionOrigin } from '#daemon/capture'
import { peekOpening, terminateTls, type Leaves, type Opening } from '#daemon/intercept'
import { tellTlsFailure, tlsReason } from '#daemon/tls-failure'
import type { SpiffeId } from '#model/identity'
import type { Decision } from '#model/policy'
import { deriveSigningScope } from '#model/signing'
import type { Holder } from './backlog.ts'
import { Bearer, type Served } from './bearer.ts'
import type { Counts } from './bounds.ts'
import type { Dialler } from './dial.ts'
import { Link } from './link.ts'
import { Multiplex } from './multiplex.ts'
import type { Plane } from './plane.ts'
import type { Verdict } from './ports.ts'
import { reset } from './reset.ts'
import { queryOf, type Route } from './route.ts'
import { Session } from './session.ts'
import { splice } from './splice.ts'

/** One accepted connection, from accept to close. */
export interface Connection {
  readonly socket: Socket
  readonly origin: ConnectionOrigin
  /** Monotonic time at which it is given up; once it is served, that keeps its own. */
  deadline: number
  served?: Served
  /** Where it is neither looked into nor ended by us. */
  spliced?: Holder
}

/** What clients tell that do not trust the intercept root, and what they lack that cannot speak with us. */
const distrusting = new Set([
  'ALERT_UNKNOWN_CA',
  'ALERT_BAD_CERTIFICATE',
  'ALERT_CERTIFICATE_UNKNOWN',
  'ALERT_CERTIFICATE_EXPIRED',
])
const tooOld = new Set(['UNSUPPORTED_PROTOCOL', 'NO_SHARED_CIPHER'])

type Identified = Extract<Verdict, { kind: 'identified' }>

/** Brings accepted connections to where they belong: a splice, a session, or their end. */
export class Intake {
  readonly #plane: Plane
  readonly #leaves: Leaves
  readonly #dialler: Dialler
  readonly #perIdentity: Counts<SpiffeId>
  readonly #partialHellos: Counts<SpiffeId>

  constructor(parts: {
    plane: Plane
    leaves: Leaves
    dialler: Dialler
    perIdentity: Counts<SpiffeId>
    partialHellos: Counts<SpiffeId>
  }) {
    this.#plane = parts.plane
    this.#leaves = parts.leaves
    this.#dialler = parts.dialler
    this.#perIdentity = parts.perIdentity
    this.#partialHellos = parts.partialHellos
  }

  /** Resolves when the connection is spliced, or its session has ended. Faults end the connection. */
  async take(connection: Connection): Promise<void> {
    const { socket, origin } = connection
    try {
      const verdict = await this.#plane.identifier.identify(origin)
      if (socket.destroyed) return
      if (verdict.kind === 'stranger') await this.#splice(connection)
      else await this.#takeIdentified(connection, verdict)
    } catch (error) {
      reset(socket)
      if (isFault(error, 'UPSTREAM_UNREACHABLE')) this.#plane.log.debug('outbound.unreachable', { error })
      else this.#plane.log.warn('outbound.failed', { error, pid: origin.process.pid })
    }
  }

  async #takeIdentified(connection: Connection, verdict: Identified): Promise<void> {
    const { socket } = connection
    const { spiffeId } = verdict.identity
    if (!this.#perIdentity.enter(spiffeId)) {
      this.#plane.counters.overflowed += 1
      reset(socket)
      return
    }
    socket.once('close', () => this.#perIdentity.leave(spiffeId))
    if (!this.#plane.policy.usesPort(spiffeId, connection.origin.destination.port)) {
      return this.#splice(connection)
    }
    const { opening, upstream } = await this.#look(connection, spiffeId)
    if (opening.kind === 'gone') {
      upstream?.destroy()
      socket.destroy()
      return
    }
    const route = await this.#routeOf(connection, verdict, opening)
    const decision = route && this.#plane.policy.decide(queryOf(route))
    if (!route || !decision || decision.action === 'splice') return this.#splice(connection, upstream)
    upstream?.destroy()
    this.#reportProtocol(route, opening)
    await this.#serve(connection, route, decision)
  }

  /**
   * Waits for the first bytes. When the client says nothing for a while we dial, and whoever speaks first decides:
   * with a protocol in which the server begins both sides would wait for ever.
   */
  async #look(connection: Connection, spiffeId: SpiffeId): Promise<{ opening: Opening; upstream?: Socket }> {
    const { socket, origin } = connection
    let isPartial = false
    let isCounted = false
    const onPart = () => {
      isPartial = true
      isCounted = this.#admitPartial(connection, spiffeId)
    }
    const { opening: peeked, callOff } = peekOpening(socket, { onPart })
    void peeked.then(() => isCounted && this.#partialHellos.leave(spiffeId))
    const early = await this.#unlessSilent(peeked)
    if (early || isPartial) return { opening: early ?? (await peeked) }
    const upstream = await this.#dial(origin).catch(() => undefined)
    if (!upstream) return { opening: await peeked }
    upstream.once('readable', callOff)
    const opening = await peeked
    upstream.off('readable', callOff)
    return { opening, upstream }
  }

  /** The opening; undefined when the client says nothing for a while. */
  #unlessSilent(opening: Promise<Opening>): Promise<Opening | undefined> {
    const { clock, limits } = this.#plane
    const silence = Promise.withResolvers<undefined>()
    const cancel = clock.after(limits.silenceMs, () => silence.resolve(undefined), { unref: true })
    return Promise.race([opening.finally(cancel), silence.promise])
  }

  /**
   * SECURITY: what comes in parts has a time of its own and is held for few of one identity at once, so that whoever
   * opens thousands and never ends a ClientHello takes neither memory nor room from others.
   */
  #admitPartial(connection: Connection, spiffeId: SpiffeId): boolean {
    const { clock, counters, limits } = this.#plane
    connection.deadline = clock.monotonic() + limits.helloMs
    if (this.#partialHellos.enter(spiffeId)) return true
    counters.overflowed += 1
    reset(connection.socket)
    return false
  }

  async #dial({ destination, process }: ConnectionOrigin): Promise<Socket> {
    const targets = await this.#dialler.targets(destination, { uid: process.uid })
    const { socket } = await this.#dialler.connect(targets)
    return socket
  }

  async #splice(connection: Connection, dialled?: Socket): Promise<void> {
    const { socket, origin } = connection
    const upstream = dialled && !dialled.destroyed ? dialled : await this.#dial(origin)
    // The client left meanwhile: nobody would ever end what was dialled for it.
    if (socket.destroyed) return void upstream.destroy()
    this.#plane.counters.spliced += 1
    // It is not ours: it lasts for as long as its two ends want, busy or idle.
    connection.deadline = Infinity
    connection.spliced = splice(socket, upstream)
  }

  /** The route that a connection would take if it were intercepted; undefined when it cannot be. */
  async #routeOf(
    { origin }: Connection,
    { identity, executable }: Identified,
    opening: Opening,
  ): Promise<Route | undefined> {
    const { host, address, port } = origin.destination
    const routeTo = (name: string, tls: boolean): Route => ({
      origin,
      identity,
      executable,
      host: name,
      port,
      tls,
      implied: deriveSigningScope(name),
    })
    if (opening.kind === 'hello') {
      // SECURITY: without a server name nothing but the destination itself can be held to its certificate.
      const claimed = opening.serverName ?? host ?? address
      return claimed === undefined ? undefined : routeTo(claimed.toLowerCase(), true)
    }
    if (opening.kind !== 'not-tls') return undefined
    const plain = host?.toLowerCase() ?? (await this.#plainHost(origin, identity.spiffeId))
    return routeTo(plain, false)
  }

  /** SECURITY: in plain text the address alone tells where bytes go; the Host header decides nothing (rule 13). */
  async #plainHost({ destination, process }: ConnectionOrigin, spiffeId: SpiffeId): Promise<string> {
    const { address = '', port } = destination
    const hosts = this.#plane.policy.plainHosts(spiffeId, port)
    if (hosts.includes(address)) return address
    for (const host of hosts) {
      const targets = await this.#dialler.resolve(host, port, process.uid)
      if (targets.some((target) => target.address === address)) return host
    }
    return address
  }

  async #serve(connection: Connection, route: Route, decision: Decision): Promise<void> {
    const { counters, clock, limits } = this.#plane
    connection.deadline = clock.monotonic() + limits.handshakeMs
    const client = route.tls ? await this.#terminate(connection, route) : connection.socket
    if (!client) return
    counters.intercepted += 1
    const bearer = new Bearer(this.#plane, route, decision.action === 'inject' ? decision : undefined)
    const served =
      client instanceof TLSSocket && client.alpnProtocol === 'h2'
        ? new Multiplex(this.#plane, client, bearer)
        : new Session(this.#plane, new Link(client), bearer, 'http/1.1')
    connection.served = served
    await served.run()
  }

  /** A client without HTTP fails its handshake, and would not learn why. */
  #reportProtocol({ identity, executable, host }: Route, opening: Opening): void {
    if (opening.kind !== 'hello') return
    const subject = `workloadidentity/${identity.name}`
    if (opening.alpn.length === 0 || opening.alpn.some((name) => name === 'h2' || name === 'http/1.1')) {
      return
    }
    const told = `${executable} offers neither HTTP/2 nor HTTP/1.1 to ${host}, and no other protocol is signed`
    this.#plane.conditions.raise(subject, 'ProtocolSupported', 'NoHttp', told)
  }

  /** The certificate of a host that was bound a moment ago is on its way: the handshake waits while it has time. */
  async #untilContext(socket: Socket, host: string): Promise<SecureContext | undefined> {
    const gone = new AbortController()
    const onClose = () => gone.abort()
    socket.once('close', onClose)
    if (socket.destroyed) onClose()
    const context = await this.#leaves.untilContext(host, gone.signal)
    socket.off('close', onClose)
    if (context) return context
    const told = `there is no valid intercept certificate for ${host}`
    this.#plane.conditions.raise('daemon', 'InterceptReady', 'NoIntermediate', told)
    return undefined
  }

  async #terminate({ socket }: Connection, route: Route): Promise<Socket | undefined> {
    const { conditions } = this.#plane
    const context = this.#leaves.contextFor(route.host) ?? (await this.#untilContext(socket, route.host))
    if (!context) return undefined
    conditions.clear('daemon', 'InterceptReady')
    const subject = `workloadidentity/${route.identity.name}`
    try {
      // A client that offers both gets what upstream is known to speak: nothing then has to be translated.
      const insists = this.#plane.upstreams.insistsOn(route)
      const protocols = insists === 'http/1.1' ? ['http/1.1', 'h2'] : ['h2', 'http/1.1']
      const tls = await terminateTls(socket, context, protocols)
      conditions.clear(subject, 'InterceptTrusted')
      conditions.clear(subject, 'ProtocolSupported')
      return tls
    } catch (error) {
      this.#reportHandshake(route, error as Error)
      return undefined
    }
  }

  /** A client that only closes says nothing: many that do not trust us do that, and so does one that has no more time. */
  #reportHandshake({ identity, executable, host }: Route, error: Error): void {
    const subject = `workloadidentity/${identity.name}`
    const reason = tlsReason(error)
    const told = tellTlsFailure(error)
    if (distrusting.has(reason)) {
      const remedy = `${executable} does not trust the intercept root (${told}): see \`tideway trust check\``
      this.#plane.conditions.raise(subject, 'InterceptTrusted', 'RootNotTrusted', remedy)
    } else if (tooOld.has(reason)) {
      const what = `the TLS handshake of ${executable} for ${host} failed: ${told}`
      this.#plane.conditions.raise(subject, 'ProtocolSupported', 'HandshakeFailed', what)
    }
    this.#plane.log.debug('outbound.handshake', { host, reason: told })
  }
}
