import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as requestHttps } from 'node:https'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestContext } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { resolveSettings } from '#base/settings'
import { silentLog } from '#base/log'
import { certificatesToPem, createCertificateRequest, parseCertificate } from '#model/pki'
import { applyScopeUpdate, emptyScope, type Scope } from '#model/scope'
import { decodeScopeUpdate } from '#model/scope-codec'
import { Enrollment, Node, type NodeReportSchema } from '#wire/proto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { openBell } from '#base/lifecycle'
import { openFakeSts, type FakeSts } from './fake-sts.ts'
import { runServer, serverSettings, type AdminAccess, type ServerReady } from './index.ts'

export const namespacePath = '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system'
export const spiffeId = 'spiffe://example.org/my-app/workload'
const deadlineMs = 15_000
const healthEveryMs = 5_000
const reconnectAfterMs = 50

export interface StoredObject {
  metadata: { name: string; resourceVersion: string }
  spec: Record<string, unknown>
  status?: {
    state?: string
    message?: string
    conditions?: { type: string; status: string; reason: string; message: string }[]
    credential?: { id: string }
    daemons?: { name: string; state: string }[]
  }
}

/** A server that runs, with the administrator's access. */
export interface TestServer {
  readonly ready: ServerReady
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>
  /** Creates objects of the core group: plural name to name to specification. */
  apply(objects: Readonly<Record<string, Readonly<Record<string, object>>>>): Promise<void>
  get(plural: string, name: string): Promise<StoredObject>
  /** Resolves with the object once it satisfies `test`; fails after 15 s with what it was last. */
  until(plural: string, name: string, test: (object: StoredObject) => boolean): Promise<StoredObject>
  stop(): Promise<void>
}

export interface TestBed {
  readonly sts: FakeSts
  readonly dataDir: string
  start(flags?: Readonly<Record<string, unknown>>): Promise<TestServer>
  readonly access: AdminAccess | undefined
  /** As on a full disk: the administrator's access cannot be saved. */
  failToSave: boolean
}

const kindOf: Readonly<Record<string, string>> = {
  credentialsources: 'CredentialSource',
  workloadidentitys: 'WorkloadIdentity',
  services: 'Service',
  credentialbindings: 'CredentialBinding',
}

/** A data folder and a fake cloud; servers are started on it one after the other. */
export async function openTestBed(context: TestContext): Promise<TestBed> {
  const stack = new AsyncDisposableStack()
  context.after(() => stack.disposeAsync())
  const folder = await mkdtemp(path.join(tmpdir(), 'tideway-server-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const sts = stack.use(await openFakeSts())
  const dataDir = path.join(folder, 'data')
  const exchangeCa = path.join(folder, 'cloud-ca.pem')
  await writeFile(exchangeCa, sts.caPem)
  let access: AdminAccess | undefined

  async function start(flags: Readonly<Record<string, unknown>> = {}): Promise<TestServer> {
    const any = '127.0.0.1:0'
    const settings = resolveSettings(serverSettings, {
      flags: {
        dataDir,
        listen: any,
        nodeListen: any,
        healthListen: any,
        trustDomain: 'example.org',
        exchangeCa,
        ...flags,
      },
    })
    const abort = new AbortController()
    const { promise, resolve } = Promise.withResolvers<ServerReady>()
    const ended = runServer(settings, {
      signal: abort.signal,
      log: silentLog,
      onReady: resolve,
      saveAdminAccess: (given) => {
        if (bed.failToSave) throw new Error('no space left')
        access = given
      },
    })
    const ready = await Promise.race([
      promise,
      ended.then(() => {
        throw new Error('the server ended')
      }),
    ])
    const stop = async () => {
      abort.abort()
      await ended
    }
    stack.defer(stop)
    sts.issuer = { url: ready.issuerUrl, caPem: access!.caPem! }
    return { ...openServerClient(ready, access!, stop), ready }
  }

  const bed: TestBed = {
    sts,
    dataDir,
    start,
    failToSave: false,
    get access() {
      return access
    },
  }
  return bed
}

export function openServerClient(
  ready: Pick<ServerReady, 'url'>,
  { token, caPem }: Pick<AdminAccess, 'token' | 'caPem'>,
  stop: () => Promise<void>,
): Omit<TestServer, 'ready'> & { ready: Pick<ServerReady, 'url'> } {
  function call(method: string, path: string, body?: unknown) {
    return new Promise<{ status: number; body: unknown }>((resolve, reject) => {
      const request = requestHttps(new URL(path, ready.url), {
        method,
        agent: false,
        ...(caPem !== undefined && { ca: caPem }),
        headers: {
          authorization: `Bearer ${token.revealText()}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
      })
      request.on('error', reject)
      request.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) as unknown }))
      })
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
  const get = async (plural: string, name: string) =>
    (await call('GET', `${namespacePath}/${plural}/${name}`)).body as StoredObject

  return {
    ready,
    call,
    get,
    stop,
    async apply(objects) {
      for (const [plural, named] of Object.entries(objects)) {
        for (const [name, spec] of Object.entries(named)) {
          const { status, body } = await call('POST', `${namespacePath}/${plural}`, {
            apiVersion: 'core.riptides.io/v1alpha1',
            kind: kindOf[plural],
            metadata: { name },
            spec,
          })
          if (status !== 201) throw new Error(`${plural}/${name}: ${JSON.stringify(body)}`)
        }
      }
    },
    async until(plural, name, test) {
      const deadline = performance.now() + deadlineMs
      for (;;) {
        const object = await get(plural, name)
        if (test(object)) return object
        if (performance.now() > deadline)
          throw new Error(`${plural}/${name}: ${JSON.stringify(object, null, 1)}`)
      }
    },
  }
}

/** A daemon that puts every update into effect at once, unless told to hold its acknowledgements. */
export interface FakeDaemon {
  readonly name: string
  readonly workloadId: string
  scope(): Scope
  until(test: (scope: Scope) => boolean): Promise<void>
  hold(): void
  release(): void
  report(message: Report): void
  close(): Promise<void>
}

type Report = MessageInitShape<typeof NodeReportSchema>

/** Joins with a token of its own and follows its scope; a `persistent` one comes back when its stream ends. */
export async function openFakeDaemon(
  server: Pick<TestServer, 'call'> & { readonly ready: Pick<ServerReady, 'url'> },
  { caPem }: Pick<AdminAccess, 'caPem'>,
  {
    workloadId,
    captureLevel = 'process',
    daemonGroups = [],
    persistent = false,
    nodeEndpoint,
    readMaxBytes = 64 << 20,
  }: {
    workloadId: string
    captureLevel?: string
    daemonGroups?: readonly string[]
    persistent?: boolean
    /** In place of the one that the server names. */
    nodeEndpoint?: string
    /** A message of more ends its stream. */
    readMaxBytes?: number
  },
): Promise<FakeDaemon> {
  const joinToken = `join-token-${workloadId.replaceAll('/', '-')}`
  const created = await server.call(
    'POST',
    '/apis/auth.riptides.io/v1alpha1/namespaces/riptides-system/jointokens',
    {
      apiVersion: 'auth.riptides.io/v1alpha1',
      kind: 'JoinToken',
      metadata: { name: joinToken },
      spec: { token: joinToken, workloadID: workloadId, ...(daemonGroups.length > 0 && { daemonGroups }) },
    },
  )
  if (created.status !== 201) throw new Error(JSON.stringify(created.body))
  const enrollment = createClient(
    Enrollment,
    createConnectTransport({ baseUrl: server.ready.url, httpVersion: '1.1', nodeOptions: { ca: caPem! } }),
  )
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const svid = await enrollment.join({
    token: joinToken,
    csrDer: createCertificateRequest(privateKey),
    hostname: 'host',
    version: '0.1.0',
  })
  const baseUrl = `https://${nodeEndpoint ?? svid.nodeEndpoint}`
  const sessionManager = new Http2SessionManager(baseUrl, undefined, {
    ca: certificatesToPem(svid.bundleDer.map(parseCertificate)),
    checkServerIdentity: () => undefined,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: certificatesToPem(svid.chainDer.map(parseCertificate)),
  })
  const node = createClient(Node, createGrpcTransport({ baseUrl, sessionManager, readMaxBytes }))
  const stop = new AbortController()
  const hello: Report = {
    body: { case: 'hello', value: { version: '0.1.0', captureLevel, captureDetail: '', metadata: {} } },
  }
  let outbox: Report[] = [hello]
  let stream = new AbortController()
  const outgoing = openBell()
  const changed = openBell()
  let scope = emptyScope
  let held = false
  let newest = 0n

  function report(message: Report): void {
    outbox.push(message)
    outgoing.ring()
  }
  const acknowledge = () => report({ body: { case: 'acknowledge', value: { revision: newest, error: '' } } })

  async function* reports() {
    stream.abort()
    stream = new AbortController()
    const signal = AbortSignal.any([stop.signal, stream.signal])
    outbox = [hello]
    while (!signal.aborted) {
      const heard = outgoing.rings
      const next = outbox.shift()
      if (next) yield next
      else await outgoing.after(heard, signal)
    }
  }

  async function followOnce(): Promise<void> {
    for await (const { body } of node.sync(reports(), { signal: stop.signal })) {
      if (body.case !== 'update') continue
      scope = applyScopeUpdate(scope, decodeScopeUpdate(body.value).update)
      newest = body.value.revision
      if (!held) acknowledge()
      changed.ring()
    }
  }

  async function follow(): Promise<void> {
    const health = setInterval(() => {
      if (outbox.length === 0) report({ body: { case: 'health', value: { daemonHealth: 'ok' } } })
    }, healthEveryMs)
    try {
      while (!stop.signal.aborted) {
        try {
          await followOnce()
        } catch (error) {
          if (!stop.signal.aborted && !persistent) throw error
        }
        stream.abort()
        if (persistent) await delay(reconnectAfterMs)
        else return
      }
    } finally {
      clearInterval(health)
    }
  }
  const following = follow()
  following.catch(() => {})

  return {
    name: svid.daemonName,
    workloadId,
    scope: () => scope,
    async until(test) {
      const deadline = AbortSignal.timeout(deadlineMs)
      for (;;) {
        const heard = changed.rings
        if (test(scope)) return
        if (deadline.aborted) throw new Error('the scope did not become what was expected')
        await changed.after(heard, deadline)
      }
    },
    hold() {
      held = true
    },
    release() {
      held = false
      acknowledge()
    },
    report,
    async close() {
      stop.abort()
      await following.catch(() => {})
      sessionManager.abort()
    },
  }
}

/** A network between a daemon and its server that can be cut without a word to either. */
export async function openRelay(context: TestContext, endpoint: string) {
  const pairs = new Set<readonly [Socket, Socket]>()
  const [host, port] = endpoint.split(':') as [string, string]
  const relay = createServer((client) => {
    const pair = [client, connect(Number(port), host)] as const
    pairs.add(pair)
    for (const end of pair) {
      end.on('error', () => {})
      end.on('close', () => pair.forEach((other) => other.destroy()))
    }
    join(pair)
  }).listen(0, '127.0.0.1')
  const join = ([one, other]: readonly [Socket, Socket]) => one.pipe(other).pipe(one)
  await once(relay, 'listening')
  context.after(() => {
    for (const pair of pairs) for (const end of pair) end.destroy()
    relay.close()
  })
  return {
    endpoint: `127.0.0.1:${(relay.address() as AddressInfo).port}`,
    cut() {
      for (const pair of pairs) for (const end of pair) end.unpipe().pause()
    },
    mend() {
      for (const pair of pairs) join(pair)
    },
  }
}

/** The resources of the guide, exchanged at the fake cloud. */
export function guideResources(sts: FakeSts, daemonWorkloadId: string) {
  return {
    workloadidentitys: {
      workload: {
        workloadID: 'my-app/workload',
        scope: { daemon: { id: daemonWorkloadId } },
        selectors: [{ 'process:name': 'python3', 'process:uid': 1000 }],
        connection: { tls: { intercept: true } },
      },
    },
    credentialsources: {
      aws: { aws: { roleArn: 'arn:aws:iam::123456789012:role/my-role', endpoint: sts.url } },
    },
    services: {
      bedrock: {
        labels: { app: 'bedrock' },
        addresses: [{ address: 'bedrock.us-east-1.amazonaws.com', port: 443 }],
        external: true,
      },
    },
    credentialbindings: {
      binding: {
        workloadID: 'my-app/workload',
        credentialSource: 'aws',
        propagation: { injection: { selectors: [{ app: 'bedrock' }] } },
      },
    },
  } as const
}
