import { generateKeyPairSync } from 'node:crypto'
import { createSecureServer, type Http2ServerRequest, type Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Code, ConnectError, createContextValues } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { Fault, isFault } from '#base/errors'
import { runTogether } from '#base/lifecycle'
import { pacedLog } from '#base/log'
import { formatSpiffeId, type TrustDomain } from '#model/identity'
import { certificatesToPem, createCertificateRequest } from '#model/pki'
import { openListeners, openStrangers, type Listeners } from '#server/connections'
import type { Store } from '#server/store'
import { Node } from '#wire/proto'
import { toConnectError } from './connect-error.ts'
import { daemonNamespace, openNodeKeys, peerOf, serverWorkloadId, type Peer } from './daemons.ts'
import { openHandshakes } from './handshakes.ts'
import { nodeService, peerPing, readPeer, type NodeContext } from './node-service.ts'
import { pingOf, type Ping } from './pulse.ts'
import { openSessions } from './sessions.ts'
import { openStreams } from './streams.ts'

const maxMessageBytes = 4 * 1024 * 1024
const maxConnections = 10_000
/** A daemon has one, and for a time those that a restart or a network have left behind. */
const maxSessionsOfOne = 16
/** That have not shown an SVID: room for all daemons that come back at once. */
const maxStrangers = 5_000
const handshakeTimeoutMs = 10_000
/** Of a connection on which nothing moves; a stream has its lease every few seconds. */
const idleTimeoutMs = 60_000
const serverSvidTtlSeconds = 86_400

export interface NodeServerOptions extends Omit<NodeContext, 'streams' | 'nodeKeys' | 'nodeEndpoint'> {
  readonly store: Store
  /** Where to listen; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** `host:port` as daemons reach it; the listening address unless given. */
  readonly nodeEndpoint?: string
  /** `pingOf` unless given. */
  readonly openPing?: (session: Http2Session | undefined) => Ping
}

/** The daemon port. */
export interface NodeServer extends AsyncDisposable {
  readonly nodeEndpoint: string
  readonly port: number
  /** Expels deleted daemons the moment they are, and renews the server's own SVID; needed all the time. */
  run(options: { signal: AbortSignal }): Promise<void>
}

/** Who is at the other end: read once for each connection, for that takes longer than most calls. */
function openPeers(trustDomain: TrustDomain): (session: Http2Session | undefined) => Peer {
  const known = new WeakMap<Http2Session, Peer>()
  return (session) => {
    const read = session && known.get(session)
    if (read) return read
    const certificate = (session?.socket as TLSSocket | undefined)?.getPeerX509Certificate()
    if (!session || !certificate) throw new Fault('CERTIFICATE_INVALID', 'the caller has no certificate')
    const peer = peerOf(certificate, trustDomain)
    known.set(session, peer)
    return peer
  }
}

/**
 * Opens the daemon port: HTTP/2 over TLS 1.3, where every client proves a SPIFFE ID of the trust domain.
 * Its certificate is an SVID of the server's own, whose key lives in memory.
 * @throws Fault SETTING_INVALID when it cannot listen
 */
export async function openNodeServer(options: NodeServerOptions): Promise<NodeServer> {
  const { ca, trustDomain, resources, store, clock, log, listen, openPing = pingOf } = options
  const streams = openStreams()
  const nodeKeys = openNodeKeys(store)
  let own = { notBefore: 0, renewAt: 0 }

  async function issueOwnSvid() {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { chain, notAfter } = await ca.issueSvid({
      spiffeId: formatSpiffeId(trustDomain, serverWorkloadId),
      csrDer: createCertificateRequest(privateKey),
      ttlSeconds: serverSvidTtlSeconds,
    })
    own = { notBefore: chain[0]!.validFromDate.getTime(), renewAt: (clock.now() + notAfter) / 2 }
    return {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      cert: certificatesToPem(chain),
      ca: certificatesToPem(ca.bundle()),
      minVersion: 'TLSv1.3',
    } as const
  }

  const server = createSecureServer({
    ...(await issueOwnSvid()),
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: handshakeTimeoutMs,
    settings: { maxConcurrentStreams: 32 },
  })
  const peerBehind = openPeers(trustDomain)
  const enterSession = openSessions(maxSessionsOfOne)
  server.on('session', (session) => {
    session.on('error', () => {})
    try {
      enterSession(peerBehind(session).spiffeId, session)
    } catch (error) {
      if (!isFault(error)) throw error
      session.destroy()
    }
    session.setTimeout(idleTimeoutMs, () => session.destroy())
  })
  const strangersLog = pacedLog(log, clock)
  server.on('tlsClientError', (error, socket) => {
    strangersLog.warn('node.handshake.failed', { address: socket.remoteAddress, reason: error.message })
  })
  const handshakes = openHandshakes({ begin: (socket) => server.emit('connection', socket), clock })
  const strangers = openStrangers(maxStrangers)
  server.on('secureConnection', (socket: TLSSocket) => {
    strangers.leave(socket)
    handshakes.end(socket)
  })
  const accept = (socket: Socket) => {
    strangers.enter(socket)
    handshakes.enter(socket)
  }
  let listeners: Listeners
  try {
    listeners = await openListeners(listen, { max: maxConnections, accept })
  } catch (error) {
    const message = `daemons cannot be served on ${listen.host}:${listen.port}: ${(error as Error).message}`
    throw new Fault('SETTING_INVALID', message, {
      hint: 'choose another address with --node-listen',
      cause: error,
    })
  }
  const { port } = listeners
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
  const nodeEndpoint = options.nodeEndpoint ?? `${host}:${port}`
  const service = nodeService({ ...options, nodeEndpoint, streams, nodeKeys })
  server.on(
    'request',
    connectNodeAdapter({
      routes: (router) => router.service(Node, service),
      connect: false,
      grpcWeb: false,
      readMaxBytes: maxMessageBytes,
      acceptCompression: [],
      contextValues(request) {
        const { session } = (request as Http2ServerRequest).stream
        return createContextValues()
          .set(readPeer, () => peerBehind(session))
          .set(peerPing, openPing(session))
      },
    }),
  )

  async function expel(name: string): Promise<void> {
    const held = await nodeKeys.held(name)
    const joinedAgain = await resources.get('Daemon', daemonNamespace, name)
    if (joinedAgain) return streams.changed(joinedAgain)
    streams.cut(name, toConnectError(new Fault('NODE_REFUSED', `${name} was deleted`)))
    // It may join again at another server before this one gets here: what it has then stays.
    await ca.removeInterceptRoot(name, held)
    await nodeKeys.remove(held)
    log.info('daemon.expelled', { daemon: name })
  }

  /** Catches up with what happened while nobody watched. */
  async function takeStock(): Promise<string> {
    // Read before the Daemons are: one that joins in between is then known by its object.
    const connected = new Set(streams.names())
    const recorded = await nodeKeys.names()
    const { items, resourceVersion } = await resources.list('Daemon', daemonNamespace)
    const known = new Set(items.map(({ metadata }) => metadata.name))
    for (const name of new Set([...connected, ...recorded])) if (!known.has(name)) await expel(name)
    for (const daemon of items) streams.changed(daemon)
    return resourceVersion
  }

  async function watchDaemons({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      const fromRevision = await takeStock()
      try {
        for await (const events of resources.watch('Daemon', {
          fromRevision,
          namespace: daemonNamespace,
          signal,
        })) {
          for (const { type, object } of events) {
            if (type === 'DELETED') await expel(object.metadata.name)
            else streams.changed(object)
          }
        }
      } catch (error) {
        if (!isFault(error, 'STORE_REVISION_GONE')) throw error
      }
    }
  }

  async function keepSvid({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await clock.until(own.renewAt, { signal }).catch(() => {})
      const isGood = clock.now() < own.renewAt && clock.now() >= own.notBefore
      if (!signal.aborted && !isGood) server.setSecureContext(await issueOwnSvid())
    }
  }

  return {
    nodeEndpoint,
    port,
    run: ({ signal }) => runTogether(signal, [watchDaemons, keepSvid]),
    async [Symbol.asyncDispose]() {
      streams.cutAll(new ConnectError('the server stops', Code.Unavailable))
      await listeners[Symbol.asyncDispose]()
      await streams.idle()
    },
  }
}
