import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  verify,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto'
import { once } from 'node:events'
import { createSecureServer, type Http2Session } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import type { SubjectName } from '#model/pki'
import {
  certificatesToPem,
  createRootCertificate,
  hostConstraints,
  issueCertificate,
  parseCertificateRequest,
  type Signer,
} from '#model/pki'
import type { ScopeUpdate } from '#model/scope'
import { encodeScopeUpdate } from '#model/scope-codec'
import { Enrollment, Node, type NodeReport, type ScopeUpdate as ScopeUpdateMessage } from '#wire/proto'

const spiffeId = 'spiffe://example.org/riptides/daemon/test'
const serverSpiffeId = 'spiffe://example.org/tideway/server'
const day = 86_400_000

function makeKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

const validity = (lifeMs: number) => ({
  serial: randomBytes(16),
  notBefore: Date.now() - 60_000,
  notAfter: Date.now() + lifeMs,
})

function makeRoot(commonName: string): Signer {
  const key = makeKey()
  return { key, certificate: createRootCertificate(key, { ...validity(day), commonName }) }
}

export interface FakeControlPlane extends AsyncDisposable {
  /** Address of the HTTPS port. */
  readonly url: URL
  readonly nodePort: number
  readonly caHash: string
  /** Good for one join. */
  readonly token: string
  readonly interceptRoot: Signer
  /** Everything that daemons reported, in order. */
  readonly reports: readonly NodeReport[]
  readonly shipped: readonly string[]
  /** Hosts of each intermediate that was asked for. */
  readonly intermediates: readonly (readonly string[])[]
  readonly calls: { join: number; recover: number; renew: number; streams: number; connections: number }
  /** Changed by tests at will. */
  readonly behaviour: {
    refusing: boolean
    offlineLeaseSeconds: number
    svidLifeMs: number
    failingAudit: boolean
  }
  /** Sends an update on the stream that is open now. */
  send(update: ScopeUpdate): void
  /** The same of a message, which a server of another version may write. */
  sendMessage(message: ScopeUpdateMessage): void
  /** Ends every connection to the daemon port. */
  dropConnections(): void
  /** Resolves when `condition` holds; looked at whenever something comes in. */
  until(condition: () => boolean): Promise<void>
}

/** A queue that one stream reads. */
function openQueue<T>(signal: AbortSignal) {
  const waiting: T[] = []
  let wake = () => {}
  signal.addEventListener('abort', () => wake(), { once: true })
  return {
    put(item: T) {
      waiting.push(item)
      wake()
    },
    async *items() {
      while (!signal.aborted) {
        const item = waiting.shift()
        if (item === undefined) await new Promise<void>((resolve) => (wake = resolve))
        else yield item
      }
    },
  }
}

/** Opens a fake that a daemon can join with `token`; it sends nothing but leases of its own accord. */
export async function openFakeControlPlane({ nodeHost = '127.0.0.1' } = {}): Promise<FakeControlPlane> {
  const root = makeRoot('spiffe')
  const https = makeRoot('https')
  const interceptRoot = makeRoot('intercept')
  const token = randomBytes(16).toString('hex')
  const reports: NodeReport[] = []
  const shipped: string[] = []
  const intermediates: string[][] = []
  const calls = { join: 0, recover: 0, renew: 0, streams: 0, connections: 0 }
  const behaviour = { refusing: false, offlineLeaseSeconds: 900, svidLifeMs: 3_600_000, failingAudit: false }
  const watchers = new Set<() => void>()
  const changed = () => watchers.forEach((look) => look())
  let used = false
  let nodeKey: KeyObject | undefined
  let stream: ReturnType<typeof openQueue<ScopeUpdateMessage>> | undefined
  let nodeEndpoint = ''

  const issue = (names: readonly SubjectName[], key: KeyObject, signer: Signer, lifeMs: number) =>
    issueCertificate(signer, key, {
      ...validity(lifeMs),
      names,
      extendedUsages: ['serverAuth', 'clientAuth'],
    })
  const answer = (csrDer: Uint8Array) => {
    nodeKey = parseCertificateRequest(csrDer).publicKey
    const leaf = issue([{ type: 'uri', value: spiffeId }], nodeKey, root, behaviour.svidLifeMs)
    changed()
    return {
      chainDer: [leaf.raw],
      bundleDer: [root.certificate.raw],
      spiffeId,
      daemonName: 'test',
      nodeEndpoint,
      serverSpiffeId,
      interceptRootDer: interceptRoot.certificate.raw,
    }
  }
  const refuseIfAsked = () => {
    if (behaviour.refusing) throw new ConnectError('the daemon is not authorised', Code.PermissionDenied)
  }
  const enrollment: ServiceImpl<typeof Enrollment> = {
    join(request) {
      calls.join++
      if (request.token !== token || used) throw new ConnectError('refused', Code.Unauthenticated)
      used = true
      return answer(request.csrDer)
    },
    recover({ spiffeId: claimed, csrDer, atEpochMs, proof }) {
      calls.recover++
      refuseIfAsked()
      const signed = Buffer.concat([Buffer.from(`tideway-recover${claimed}${atEpochMs}`), csrDer])
      if (!nodeKey || !verify('sha256', signed, nodeKey, proof)) {
        throw new ConnectError('no proof', Code.PermissionDenied)
      }
      return answer(csrDer)
    },
  }
  const node: ServiceImpl<typeof Node> = {
    async *sync(incoming, { signal }) {
      refuseIfAsked()
      calls.streams++
      const updates = openQueue<ScopeUpdateMessage>(signal)
      stream = updates
      const reading = (async () => {
        for await (const report of incoming) {
          reports.push(report)
          changed()
        }
      })().catch(() => {})
      yield {
        body: { case: 'lease', value: { offlineLeaseSeconds: behaviour.offlineLeaseSeconds } },
      } as const
      changed()
      for await (const value of updates.items()) {
        yield { body: { case: 'update', value } } as const
      }
      await reading
    },
    renewSvid({ csrDer }) {
      calls.renew++
      return answer(csrDer)
    },
    issueIntermediate({ csrDer, hosts }) {
      intermediates.push([...hosts])
      const { publicKey } = parseCertificateRequest(csrDer)
      const certificate = issueCertificate(interceptRoot, publicKey, {
        ...validity(day),
        commonName: 'intermediate',
        authority: { pathLength: 0, constraints: hostConstraints(hosts) },
      })
      changed()
      const chain = [certificate, interceptRoot.certificate]
      return { chainDer: chain.map(({ raw }) => raw), notAfterEpochMs: BigInt(Date.now() + day) }
    },
    shipAudit({ recordsJsonl }) {
      if (behaviour.failingAudit) throw new ConnectError('disk full', Code.Unavailable)
      const lines = Buffer.from(recordsJsonl).toString().split('\n').slice(0, -1)
      shipped.push(...lines)
      changed()
      return { accepted: lines.length }
    },
  }
  const tls = (names: readonly SubjectName[], signer: Signer) => {
    const key = makeKey()
    const leaf: X509Certificate = issue(names, createPublicKey(key), signer, day)
    return {
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      cert: certificatesToPem([leaf, signer.certificate]),
    }
  }
  const nodeServer = createSecureServer(
    {
      ...tls([{ type: 'uri', value: serverSpiffeId }], root),
      ca: certificatesToPem([root.certificate]),
      requestCert: true,
      rejectUnauthorized: true,
    },
    connectNodeAdapter({ routes: (router) => router.service(Node, node) }),
  )
  const sessions = new Set<Http2Session>()
  nodeServer.on('session', (session) => {
    calls.connections++
    sessions.add(session)
    session.on('error', () => {})
    session.once('close', () => sessions.delete(session))
  })
  const httpsServer = createServer(
    tls([{ type: 'ip', value: '127.0.0.1' }], https),
    connectNodeAdapter({ routes: (router) => router.service(Enrollment, enrollment) }),
  )
  const sockets = new Set<Socket>()
  httpsServer.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  for (const server of [nodeServer, httpsServer]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  const nodePort = (nodeServer.address() as AddressInfo).port
  nodeEndpoint = `${nodeHost}:${nodePort}`
  const sendMessage = (message: ScopeUpdateMessage) => {
    if (!stream) throw new TypeError('no stream is open')
    stream.put(message)
  }
  const dropConnections = () => sessions.forEach((session) => session.destroy())
  return {
    url: new URL(`https://127.0.0.1:${(httpsServer.address() as AddressInfo).port}`),
    nodePort,
    caHash: `sha256:${createHash('sha256').update(https.certificate.raw).digest('hex')}`,
    token,
    interceptRoot,
    reports,
    shipped,
    intermediates,
    calls,
    behaviour,
    send: (update) => sendMessage(encodeScopeUpdate(update)),
    sendMessage,
    dropConnections,
    until(condition) {
      return new Promise((resolve) => {
        const look = () => {
          if (!condition()) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        look()
      })
    },
    async [Symbol.asyncDispose]() {
      const closed = [once(nodeServer, 'close'), once(httpsServer, 'close')]
      nodeServer.close()
      httpsServer.close()
      dropConnections()
      sockets.forEach((socket) => socket.destroy())
      await Promise.all(closed)
    },
  }
}
