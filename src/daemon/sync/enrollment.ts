import { sign, type KeyObject, type X509Certificate } from 'node:crypto'
import { Code, ConnectError, createClient, type Client } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import type { EpochMs } from '#base/clock'
import { Fault, isUntrusted } from '#base/errors'
import type { Secret } from '#base/secret'
import { parseSpiffeId } from '#model/identity'
import { createCertificateRequest, parseCertificate, spiffeIdOf } from '#model/pki'
import { Enrollment, type SvidResponse } from '#wire/proto'
import type { Addresses } from './addresses.ts'
import type { NodeRecord } from './node-files.ts'

const timeoutMs = 15_000

interface Server {
  readonly server: string
  readonly serverCa?: X509Certificate | undefined
}

type Lookup = Pick<Addresses, 'lookup'>

function enrollmentClient({ server, serverCa }: Server, { lookup }: Lookup): Client<typeof Enrollment> {
  const transport = createConnectTransport({
    baseUrl: server,
    httpVersion: '1.1',
    // Without a CA of its own the server must bear a publicly trusted certificate.
    nodeOptions: { lookup, ...(serverCa && { ca: serverCa.toString() }) },
    defaultTimeoutMs: timeoutMs,
    readMaxBytes: 1 << 20,
  })
  return createClient(Enrollment, transport)
}

/** What whoever starts the daemon can do about a join that failed. */
function joinHint(error: ConnectError): string | undefined {
  if (error.code === Code.Unauthenticated) {
    return 'it was used already, or has expired: make a new one (`tideway node token create` on the server)'
  }
  return isUntrusted(error.cause)
    ? 'no public CA signed its certificate: give --ca-hash, which the server prints at start and with a join token'
    : undefined
}

/** The fault that stands for what a call of the server threw. */
export function callFault(error: unknown, what: string): Fault {
  const { code, rawMessage } = ConnectError.from(error)
  if (code === Code.PermissionDenied)
    return new Fault('NODE_REFUSED', `${what}: ${rawMessage}`, { cause: error })
  if (code === Code.Unauthenticated)
    return new Fault('JOIN_REFUSED', `${what}: ${rawMessage}`, { cause: error })
  return new Fault('SERVER_UNREACHABLE', `${what}: ${rawMessage}`, { cause: error })
}

/** For a certificate that, just issued, is past its time here. */
export function clockAhead(what: string): Fault {
  return new Fault(
    'CERTIFICATE_INVALID',
    `the clock of this node runs ahead of the server's: ${what} is too old already; set the clock`,
  )
}

/**
 * The record that an answer makes.
 * @throws Fault CERTIFICATE_INVALID when the SVID is for another key or names someone else
 */
export function recordOf(response: SvidResponse, { server, serverCa }: Server, key: KeyObject): NodeRecord {
  const spiffeId = parseSpiffeId(response.spiffeId)
  const svid = response.chainDer.map(parseCertificate)
  const leaf = svid[0]
  if (!leaf || response.bundleDer.length === 0) {
    throw new Fault('CERTIFICATE_INVALID', 'the server answered without certificates')
  }
  if (!leaf.checkPrivateKey(key) || spiffeIdOf(leaf) !== spiffeId) {
    throw new Fault('CERTIFICATE_INVALID', `the server answered with an SVID that is not ${spiffeId}'s`)
  }
  return {
    server,
    ...(serverCa && { serverCa }),
    spiffeId,
    daemonName: response.daemonName,
    nodeEndpoint: response.nodeEndpoint,
    serverSpiffeId: parseSpiffeId(response.serverSpiffeId),
    svid,
    bundle: response.bundleDer.map(parseCertificate),
    interceptRoot: parseCertificate(response.interceptRootDer),
  }
}

/**
 * Consumes a join token.
 * @throws Fault JOIN_REFUSED, SERVER_UNREACHABLE, CERTIFICATE_INVALID
 */
export async function joinServer(
  server: Server,
  addresses: Lookup,
  key: KeyObject,
  { token, hostname, version }: { token: Secret; hostname: string; version: string },
): Promise<NodeRecord> {
  const csrDer = createCertificateRequest(key)
  try {
    const response = await enrollmentClient(server, addresses).join({
      token: token.revealText(),
      csrDer,
      hostname,
      version,
    })
    return recordOf(response, server, key)
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error
    const hint = joinHint(error)
    const { code, message } = callFault(error, `joining ${server.server}`)
    throw new Fault(code, message, { ...(hint !== undefined && { hint }), cause: error })
  }
}

/**
 * Gets a new SVID for one that has expired, by proof of the node key (security rule 22).
 * @throws Fault NODE_REFUSED, SERVER_UNREACHABLE, CERTIFICATE_INVALID
 */
export async function recoverSvid(
  record: NodeRecord,
  addresses: Lookup,
  key: KeyObject,
  at: EpochMs,
): Promise<NodeRecord> {
  const { spiffeId } = record
  const csrDer = createCertificateRequest(key)
  const signed = Buffer.concat([Buffer.from(`tideway-recover${spiffeId}${at}`), csrDer])
  const proof = sign('sha256', signed, key)
  try {
    const response = await enrollmentClient(record, addresses).recover({
      spiffeId,
      csrDer,
      atEpochMs: BigInt(at),
      proof,
    })
    return recordOf(response, record, key)
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error
    const fault = callFault(error, `recovering the SVID of ${spiffeId}`)
    throw fault.code === 'JOIN_REFUSED'
      ? new Fault('NODE_REFUSED', fault.message, {
          hint: 'remove the state folder and join again with a new join token',
          cause: error,
        })
      : fault
  }
}
