import {
  createSecretKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createClient, type Client } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { fastify } from 'fastify'
import { openTestClock } from '#base/clock'
import { silentLog, type Log } from '#base/log'
import type { AuditRecord, ChangeRecord } from '#model/audit'
import { parseTrustDomain } from '#model/identity'
import { certificatesToPem, createCertificateRequest, parseCertificate } from '#model/pki'
import { authGroup, defaultNamespace } from '#model/resource'
import type { ScopeUpdate } from '#model/scope'
import { openCertificateAuthority } from '#server/issuer'
import { openCustody, openSealer } from '#server/keys'
import type { FollowingDaemon, ReportedCondition, Scopes } from '#server/reconcile'
import { openMemoryStore, openResourceCache, openResources } from '#server/store'
import { Enrollment, Node, type SvidResponse } from '#wire/proto'
import { enrollmentPlugin, openNodeServer } from './index.ts'

export const trustDomain = parseTrustDomain('example.org')
export const makeKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

const emptyChange = { identities: [], services: [], bindings: [], credentials: [] }

/** Scopes that send what a test puts in, and remember what daemons said. */
function openFakeScopes() {
  const following = new Map<string, { daemon: FollowingDaemon; send: (update: ScopeUpdate) => void }>()
  const bound = new Map<string, readonly string[]>()
  const acknowledged: {
    daemonName: string
    revision: number
    error: string | undefined
    /** Those left out. */
    bindings: readonly string[] | undefined
  }[] = []
  const observed = new Map<string, readonly ReportedCondition[]>()
  const scopes: Scopes = {
    async *follow(daemon, { signal }) {
      const waiting: ScopeUpdate[] = []
      let wake = () => {}
      const send = (update: ScopeUpdate) => {
        waiting.push(update)
        wake()
      }
      following.set(daemon.name, { daemon, send })
      signal.addEventListener('abort', () => wake(), { once: true })
      send({ revision: 1, reset: true, upsert: emptyChange, remove: emptyChange })
      while (!signal.aborted) {
        const update = waiting.shift()
        if (update) yield update
        else await new Promise<void>((resolve) => (wake = resolve))
      }
      following.delete(daemon.name)
    },
    acknowledge: (daemonName, revision, error, leftOut) =>
      acknowledged.push({ daemonName, revision, error, bindings: leftOut?.bindings }),
    observe: (daemonName, conditions) => observed.set(daemonName, conditions),
    boundHosts: (daemonName) => bound.get(daemonName) ?? [],
  }
  return { scopes, following, bound, acknowledged, observed }
}

/** A control plane with everything that daemons see of it, on loopback. */
export async function openTestServer({
  run = true,
  svidTtlSeconds = 3600,
  nodePort = 0,
  log = silentLog,
}: { run?: boolean; svidTtlSeconds?: number; nodePort?: number; log?: Log } = {}) {
  await using stack = new AsyncDisposableStack()
  const clock = openTestClock(Date.now())
  const store = openMemoryStore()
  const sealingKey = createSecretKey(randomBytes(32))
  const custody = await openCustody(store, sealingKey)
  const resources = openResources(store, { clock, random: randomBytes, sealer: openSealer(sealingKey) })
  const ca = await openCertificateAuthority({ store, custody, clock, trustDomain })
  const shipped: AuditRecord[] = []
  const changes: Omit<ChangeRecord, 'type' | 'id' | 'at'>[] = []
  const audit = {
    append: async (records: readonly AuditRecord[]) => void shipped.push(...records),
    change: async (record: (typeof changes)[number]) => void changes.push(record),
  }
  const fake = openFakeScopes()
  const common = { store, resources, ca, audit, clock, log, trustDomain, svidTtlSeconds }
  const listen = { host: '127.0.0.1', port: 0 }
  // Answers do not come by the clock of the test: they are there at once, or not at all.
  const pulse = { isThere: true }
  const openPing = (session: unknown) => (answer: () => void) => {
    if (session === undefined) throw new TypeError('there is no session to ask')
    if (pulse.isThere) answer()
  }
  const nodeListen = { ...listen, port: nodePort }
  const settings = { scopes: fake.scopes, listen: nodeListen, leaseSeconds: 900, openPing }
  const node = stack.use(await openNodeServer({ ...common, ...settings }))
  const stop = new AbortController()
  const sessions: Http2SessionManager[] = []
  stack.defer(() => sessions.forEach((session) => session.abort()))
  const running = run ? node.run({ signal: stop.signal }) : Promise.resolve()
  stack.defer(async () => {
    stop.abort()
    await running
  })
  const app = fastify()
  const cache = stack.use(await openResourceCache(resources))
  await app.register(enrollmentPlugin({ ...common, cache, nodeEndpoint: node.nodeEndpoint }))
  await app.listen(listen)
  stack.defer(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const enrollment = createClient(
    Enrollment,
    createConnectTransport({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: '1.1' }),
  )

  async function createToken(
    token: string,
    spec: { workloadID?: string; expireAt?: string; daemonGroups?: string[] } = {},
  ) {
    return resources.create<'JoinToken'>({
      apiVersion: `${authGroup}/v1alpha1`,
      kind: 'JoinToken',
      metadata: { name: `token-${randomBytes(4).toString('hex')}`, namespace: defaultNamespace },
      spec: { token, ...spec },
    })
  }

  function join(token: string, key: KeyObject = makeKey()): Promise<SvidResponse> {
    const csrDer = createCertificateRequest(key)
    return enrollment.join({ token, csrDer, hostname: 'host-1', version: '0.1.0' })
  }

  async function joined(spec: Parameters<typeof createToken>[1] = {}) {
    const token = randomBytes(16).toString('hex')
    await createToken(token, spec)
    const key = makeKey()
    const response = await join(token, key)
    return { key, response, name: response.daemonName }
  }

  /** Connects to the daemon port with a certificate; the fixture closes the connection. */
  function connect(key: KeyObject, chain: readonly X509Certificate[]): Client<typeof Node> {
    const baseUrl = `https://${node.nodeEndpoint}`
    const sessionManager = new Http2SessionManager(baseUrl, undefined, {
      ca: certificatesToPem(ca.bundle()),
      checkServerIdentity: () => undefined,
      ...(chain.length > 0 && {
        key: key.export({ type: 'pkcs8', format: 'pem' }),
        cert: certificatesToPem(chain),
      }),
    })
    sessions.push(sessionManager)
    return createClient(Node, createGrpcTransport({ baseUrl, sessionManager }))
  }

  const connectAs = ({ key, response }: { key: KeyObject; response: SvidResponse }) =>
    connect(key, response.chainDer.map(parseCertificate))

  function recover(spiffeId: string, key: KeyObject, { at = clock.now(), signer = key } = {}) {
    const csrDer = createCertificateRequest(key)
    const proof = sign(
      'sha256',
      Buffer.concat([Buffer.from(`tideway-recover${spiffeId}${at}`), csrDer]),
      signer,
    )
    return enrollment.recover({ spiffeId, csrDer, atEpochMs: BigInt(at), proof })
  }

  const kept = stack.move()
  return {
    ...fake,
    pulse,
    clock,
    store,
    resources,
    ca,
    shipped,
    changes,
    node,
    enrollment,
    createToken,
    join,
    joined,
    connect,
    connectAs,
    recover,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
