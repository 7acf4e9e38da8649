import { X509Certificate, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { ConnectError, createClient, type Client } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { backoffMs, type Clock } from '#base/clock'
import { Fault, isFault, toFault } from '#base/errors'
import type { Log } from '#base/log'
import type { Secret } from '#base/secret'
import type { SpiffeId } from '#model/identity'
import { certificatesToPem, createCertificateRequest, spiffeIdOf } from '#model/pki'
import { Node as NodeService } from '#wire/proto'
import { endpointOf, openAddresses, type Addresses, type Resolve } from './addresses.ts'
import { callFault, clockAhead, joinServer, recordOf, recoverSvid } from './enrollment.ts'
import { fetchPinnedAuthority } from './first-contact.ts'
import {
  openNodeKey,
  readNodeRecord,
  requireSameKey,
  writeNodeRecord,
  type NodeRecord,
} from './node-files.ts'

/** A connection to the daemon port; it opens with the first call, and again with the next one after it was lost. */
export interface NodeConnection {
  readonly client: Client<typeof NodeService>
  /** Drops the connection and what runs on it. */
  close(): void
  /** The same because its server hangs: another one is tried first from now on. */
  abandon(): void
}

/** This machine as a member of the trust domain. */
export interface Node {
  readonly spiffeId: SpiffeId
  readonly daemonName: string
  /** Root of the intercept CA: it goes into the trust bundle of workloads. */
  readonly interceptRoot: X509Certificate
  /**
   * The connection that all calls under the SVID of the moment share, for a handshake costs the server more than
   * most calls; the server must prove its own SPIFFE ID. What runs under an earlier SVID goes on where it is.
   */
  connection(): NodeConnection
  /** Whether the server's name has several addresses. */
  hasAlternative(): boolean
  /** Gets a new SVID by proof of the key when the present one has expired. @throws Fault */
  ensureSvid(): Promise<void>
  /** Renews the SVID at half of its life, until abort. */
  run(options: { signal: AbortSignal }): Promise<void>
}

export interface NodeSettings {
  readonly stateDir: string
  /** Needed to join; later the address joined is known. */
  readonly server?: URL | undefined
  readonly caHash?: string | undefined
  /** Called only when the node has not joined yet. */
  readonly readJoinToken?: (() => Promise<Secret>) | undefined
  readonly hostname: string
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** Of names of the server; the operating system's unless given. */
  readonly resolve?: Resolve
}

const retry = { baseMs: 1_000, maxMs: 60_000 }
/** After which a call counts as failed; the stream of scopes has no such end. */
const callTimeoutMs = 30_000

/** What stands against the start of a node that has neither joined nor been told how to. */
export function notJoined(stateDir: string): Fault {
  return new Fault('SETTING_INVALID', `this node has not joined a server yet (${stateDir})`, {
    hint: 'give --server and --join-token-file (`tideway node token create` on the server makes a token)',
  })
}

async function join(settings: NodeSettings, addresses: Addresses, key: KeyObject): Promise<NodeRecord> {
  const { server, caHash, readJoinToken, hostname, version, log } = settings
  if (!server || !readJoinToken) throw notJoined(settings.stateDir)
  const serverCa = caHash === undefined ? undefined : await fetchPinnedAuthority(server, caHash, addresses)
  const token = await readJoinToken()
  const record = await joinServer({ server: server.origin, serverCa }, addresses, key, {
    token,
    hostname,
    version,
  })
  log.info('node.joined', { server: record.server, daemon: record.daemonName, spiffeId: record.spiffeId })
  return record
}

const halfLife = ([leaf]: readonly X509Certificate[]): number =>
  (leaf!.validFromDate.getTime() + leaf!.validToDate.getTime()) / 2

/**
 * Opens the node: joins if it has not yet, else takes up what an earlier run left in the state folder.
 * @throws Fault SETTING_INVALID, JOIN_REFUSED, SERVER_UNREACHABLE, CERTIFICATE_INVALID
 */
export async function openNode(settings: NodeSettings): Promise<Node> {
  const { stateDir, clock, log, random } = settings
  const addresses = openAddresses(settings)
  const key = await openNodeKey(stateDir)
  const existing = await readNodeRecord(stateDir)
  let record = existing ?? (await join(settings, addresses, key))
  if (existing) requireSameKey(stateDir, existing, key)
  else await writeNodeRecord(stateDir, record)

  const adopt = async (next: NodeRecord) => {
    if (next.spiffeId !== record.spiffeId) {
      throw new Fault(
        'CERTIFICATE_INVALID',
        `the server answered for ${next.spiffeId}, not ${record.spiffeId}`,
      )
    }
    await writeNodeRecord(stateDir, next)
    record = next
    log.info('svid.renewed', { notAfter: next.svid[0]!.validTo })
  }
  const open = ({ nodeEndpoint, svid, bundle, serverSpiffeId }: NodeRecord): NodeConnection => {
    const url = `https://${nodeEndpoint}`
    const { host, port } = endpointOf(new URL(url))
    const tls: ConnectionOptions = {
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      ALPNProtocols: ['h2'],
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      cert: certificatesToPem(svid),
      ca: certificatesToPem(bundle),
      minVersion: 'TLSv1.3',
      // SECURITY: the peer is known by its SPIFFE ID under the trust domain's own roots, never by its address.
      checkServerIdentity: (_host, peer) => serverIdentityError(peer.raw, serverSpiffeId),
    }
    let socket: TLSSocket | undefined
    const createConnection = () => (socket = addresses.dial(tls))
    // No pings: when one is not answered, and the connection is closed for that, the library lets an error go
    // that nobody can catch. Calls have a time limit instead, and the stream hears something every few seconds.
    const session = new Http2SessionManager(url, {}, { createConnection })
    const transport = createGrpcTransport({
      baseUrl: url,
      sessionManager: session,
      readMaxBytes: 64 << 20,
      defaultTimeoutMs: callTimeoutMs,
    })
    return {
      client: createClient(NodeService, transport),
      close: () => session.abort(),
      abandon() {
        if (socket) addresses.hangs(socket)
        session.abort()
      },
    }
  }
  let shared: { readonly record: NodeRecord; readonly connection: NodeConnection } | undefined
  const connection = (): NodeConnection => {
    if (shared?.record !== record) shared = { record, connection: open(record) }
    return shared.connection
  }
  const hasExpired = () => record.svid[0]!.validToDate.getTime() <= clock.now()
  const askForRenewal = async () => {
    try {
      const response = await connection().client.renewSvid({ csrDer: createCertificateRequest(key) })
      await adopt(recordOf(response, record, key))
    } catch (error) {
      throw error instanceof ConnectError ? callFault(error, 'renewing the SVID') : toFault(error)
    }
  }
  const recover = async () => await adopt(await recoverSvid(record, addresses, key, clock.now()))
  let underWay: Promise<void> | undefined
  // One at a time: the stream and the renewal may find the SVID expired at the same moment.
  const renew = () =>
    (underWay ??= (hasExpired() ? recover() : askForRenewal()).finally(() => (underWay = undefined)))
  return {
    spiffeId: record.spiffeId,
    daemonName: record.daemonName,
    interceptRoot: record.interceptRoot,
    connection,
    hasAlternative: () => addresses.several(),
    async ensureSvid() {
      if (hasExpired()) await renew()
    },
    async run({ signal }) {
      let failures = 0
      while (!signal.aborted) {
        const due =
          failures > 0 ? clock.now() + backoffMs(failures, { ...retry, random }) : halfLife(record.svid)
        await clock.until(due, { signal }).catch(() => {})
        if (signal.aborted || clock.now() < halfLife(record.svid)) continue
        try {
          await renew()
          // One that is due again at once would be asked for without a pause, by every node whose clock is wrong.
          if (clock.now() >= halfLife(record.svid)) throw clockAhead('the new SVID')
          failures = 0
        } catch (error) {
          failures++
          log.warn('svid.renewal-failed', { error: isFault(error) ? error.message : error })
        }
      }
    },
  }
}

function serverIdentityError(raw: Buffer, expected: SpiffeId): Error | undefined {
  try {
    const actual = spiffeIdOf(new X509Certificate(raw))
    return actual === expected ? undefined : new Error(`the server is ${actual}, not ${expected}`)
  } catch (error) {
    return error as Error
  }
}
