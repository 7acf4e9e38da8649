import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type ServiceImpl,
} from '@connectrpc/connect'
import { Fault, isFault } from '#base/errors'
import { parseAuditRecord, type AuditRecord } from '#model/audit'
import { parseCertificateRequest } from '#model/pki'
import type { Daemon } from '#model/resource'
import type { AuditTrail } from '#server/audit'
import type { Node } from '#wire/proto'
import { failedCall } from './connect-error.ts'
import { expectDaemon, type NodeKeys, type Peer } from './daemons.ts'
import { openRateLimit } from './rate-limit.ts'
import { issueDaemonSvid, type SvidIssuer } from './svid.ts'
import { syncDaemon, type SyncContext } from './sync.ts'
import type { Ping } from './pulse.ts'

/** Reads who calls from the certificate of the connection, whose chain TLS has verified. @throws Fault as `peerOf` */
export const readPeer = createContextKey<() => Peer>(() => {
  throw new Fault('CERTIFICATE_INVALID', 'the caller has no certificate')
})
/** Asks the client for a sign of life. */
export const peerPing = createContextKey<Ping>(() => {})

/** Certificates of one daemon; a change of Services asks for a new intermediate. */
const issuance = { perMinute: 30, burst: 60 }
const maxRecordsPerBatch = 10_000
/** With what the server adds, well below what the audit trail takes in one line. */
const maxRecordBytes = 30 * 1024

export interface NodeContext extends SyncContext, SvidIssuer {
  readonly nodeKeys: NodeKeys
  readonly audit: Pick<AuditTrail, 'append' | 'change'>
}

/** @throws Fault WIRE_TOO_LARGE */
function linesOf(bytes: Uint8Array): string[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.length <= maxRecordsPerBatch) return lines
  throw new Fault('WIRE_TOO_LARGE', `more than ${maxRecordsPerBatch} records in a batch`)
}

/** Reads one shipped record; undefined for what a daemon has no business to say. */
function readShipped(line: string, node: string): AuditRecord | undefined {
  if (Buffer.byteLength(line) > maxRecordBytes) return undefined
  try {
    const record = parseAuditRecord(line)
    // SECURITY: changes are the control plane's own records; and the node is who shipped it, whatever it says.
    return record.type === 'change' ? undefined : { ...record, node }
  } catch (error) {
    if (isFault(error, 'WIRE_MALFORMED')) return undefined
    throw error
  }
}

/** The Node service: everything in it is for the daemon of the connection, and for no other. */
export function nodeService(context: NodeContext): ServiceImpl<typeof Node> {
  const { ca, scopes, streams, audit, clock, log } = context
  const limit = openRateLimit({ clock, ...issuance })

  function limited(daemonName: string): void {
    if (!limit.allows(daemonName))
      throw new Fault('RATE_LIMITED', `${daemonName} asks for too many certificates`)
    limit.spend(daemonName)
  }

  function caller({ values }: HandlerContext): Peer {
    const peer = values.get(readPeer)()
    if (peer.expiresAt <= clock.now()) {
      throw new Fault('CERTIFICATE_INVALID', `the SVID of ${peer.spiffeId} has expired`)
    }
    return peer
  }

  async function unary<T>(
    call: string,
    handler: HandlerContext,
    answer: (daemon: Daemon, peer: Peer) => Promise<T>,
  ): Promise<T> {
    try {
      const peer = caller(handler)
      return await answer(await expectDaemon(context, peer), peer)
    } catch (error) {
      throw failedCall(log, call, error)
    }
  }

  return {
    async *sync(reports, handler) {
      const stream = new AbortController()
      let name: string | undefined
      try {
        const peer = caller(handler)
        await expectDaemon(context, peer)
        name = peer.daemonName
        streams.begin(name, stream, peer.expiresAt)
        // Asked again: a deletion before the registration shows here, one after it cuts the stream.
        const daemon = await expectDaemon(context, peer)
        const ping = handler.values.get(peerPing)
        yield* syncDaemon(context, { daemon, peer, ping, stream }, reports, handler.signal)
      } catch (error) {
        // A daemon that hung up is no failure, and nobody is left to hear of it.
        if (handler.signal.aborted) throw new ConnectError('hung up', Code.Canceled)
        throw failedCall(log, 'Sync', stream.signal.aborted ? stream.signal.reason : error)
      } finally {
        if (name !== undefined) streams.end(name, stream)
      }
    },
    renewSvid: ({ csrDer }, handler) =>
      unary('RenewSvid', handler, async (daemon, peer) => {
        limited(peer.daemonName)
        if (!parseCertificateRequest(csrDer).publicKey.equals(peer.key)) {
          throw new Fault(
            'NODE_REFUSED',
            `${peer.spiffeId} asks for an SVID for a key that it did not join with`,
          )
        }
        log.info('svid.renewed', { daemon: peer.daemonName })
        const { response, notAfter } = await issueDaemonSvid(context, daemon, csrDer)
        streams.extend(peer.daemonName, notAfter)
        return response
      }),
    issueIntermediate: ({ csrDer, hosts }, handler) =>
      unary('IssueIntermediate', handler, async (_daemon, { daemonName, spiffeId }) => {
        limited(daemonName)
        const bound = new Set(scopes.boundHosts(daemonName))
        const foreign = hosts.find((host) => !bound.has(host))
        const record = { actor: spiffeId, verb: 'issue', object: `intercept-intermediate/${daemonName}` }
        if (foreign !== undefined) {
          const message = `${JSON.stringify(foreign.slice(0, 253))} is not bound in the scope of ${daemonName}`
          await audit.change({ ...record, outcome: 'refused', message })
          throw new Fault('SCOPE_REFUSED', message)
        }
        const unique = [...new Set(hosts)]
        const { chain, notAfter } = await ca.issueIntermediate({ daemonName, csrDer, hosts: unique })
        await audit.change({ ...record, outcome: 'ok', message: `${unique.length} hosts` })
        return { chainDer: chain.map(({ raw }) => raw), notAfterEpochMs: BigInt(notAfter) }
      }),
    shipAudit: ({ recordsJsonl }, handler) =>
      unary('ShipAudit', handler, async (_daemon, { daemonName }) => {
        const lines = linesOf(recordsJsonl)
        const records = lines.flatMap((line) => readShipped(line, daemonName) ?? [])
        const dropped = lines.length - records.length
        // Dropped and not refused: a record that never fits would keep all that follow it from arriving.
        if (dropped > 0) log.warn('audit.shipped.dropped', { daemon: daemonName, records: dropped })
        await audit.append(records)
        return { accepted: records.length }
      }),
  }
}
