import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { openTestClock } from '#base/clock'
import { openReadiness, type Readiness } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { openResourceClient, type ResourceClient } from '#client/resource-api'
import type { AuditRecord } from '#model/audit'
import { certificatesToPem, createRootCertificate, hostName, issueCertificate } from '#model/pki'
import { accessAdmission, ensureAdminToken, openAccessControl } from '#server/access'
import { openAuditTrail } from '#server/audit'
import type { IssuerKeyInfo } from '#server/issuer'
import { namespaceAdmission } from '#server/lifecycle'
import {
  openMemoryStore,
  openResourceCache,
  openResources,
  openSqliteStore,
  type ResourceCache,
  type Resources,
  type Sealer,
  type Store,
} from '#server/store'
import { openApi, type Api, type ApiOptions } from './api.ts'

/** A certificate for loopback under a CA of its own. */
export function loopbackCertificate(): { ca: string; tls: { cert: string; key: string } } {
  const clock = openTestClock(Date.UTC(2026, 0, 1))
  const times = { notBefore: 0, notAfter: clock.now() + 50 * 365 * 86_400_000 }
  const caKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const certificate = createRootCertificate(caKey, {
    serial: randomBytes(16),
    commonName: 'test CA',
    pathLength: 0,
    ...times,
  })
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const leaf = issueCertificate({ key: caKey, certificate }, createPublicKey(key), {
    serial: randomBytes(16),
    names: [hostName('127.0.0.1')],
    extendedUsages: ['serverAuth'],
    ...times,
  })
  return {
    ca: certificatesToPem([certificate]),
    tls: { cert: certificatesToPem([leaf]), key: key.export({ type: 'pkcs8', format: 'pem' }) },
  }
}

/** Not a cipher: shows only where sealed bytes go. */
export const testSealer: Sealer = {
  seal: (_, plaintext) => Buffer.from(plaintext).map((byte) => byte ^ 0x5a),
  unseal: (_, sealed) => Buffer.from(sealed).map((byte) => byte ^ 0x5a),
}

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
}

export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly api: Api
  readonly ca: string
  readonly token: string
  readonly store: Store
  readonly readiness: Readiness
  readonly resources: Resources
  readonly client: ResourceClient
  readonly clock: ReturnType<typeof openTestClock>
  /** Warnings that the client was told. */
  readonly warnings: string[]
  /** A plain request; `authorization: null` sends none. */
  ask(
    method: string,
    path: string,
    options?: {
      authorization?: string | null
      body?: unknown
      contentType?: string
      headers?: Readonly<Record<string, string>>
    },
  ): Promise<Answer>
  auditTrail(): Promise<readonly AuditRecord[]>
}

/** The objects of a server for writes that no admission judges. */
export function unguarded({ store, clock }: Pick<TestServer, 'store' | 'clock'>): Resources {
  return openResources(store, { clock, random: randomBytes, sealer: testSealer })
}

/** Lets the time of a server go on until something has come of it. */
export async function whileTimePasses<T>(
  { clock }: Pick<TestServer, 'clock'>,
  awaited: Promise<T>,
): Promise<T> {
  const running = Symbol('running')
  const settled = awaited.catch(() => {})
  const turn = () => new Promise<typeof running>((resolve) => setImmediate(resolve, running))
  while ((await Promise.race([settled, turn()])) === running) await clock.advance(10)
  return await awaited
}

/** The API over real HTTPS on a free port of loopback, on SQLite or memory. */
export async function openTestServer(
  options: { kind?: 'memory' | 'sqlite' } & Partial<Pick<ApiOptions, 'plugins' | 'log' | 'stalledMs'>> = {},
): Promise<TestServer> {
  const stack = new AsyncDisposableStack()
  const folder = stack.adopt(mkdtempSync(join(tmpdir(), 'tideway-api-')), (path) =>
    rmSync(path, { recursive: true }),
  )
  const store = stack.use(
    options.kind === 'sqlite'
      ? await openSqliteStore({ path: join(folder, 'tideway.db') })
      : openMemoryStore(),
  )
  const clock = openTestClock()
  const readiness = openReadiness()
  const audit = stack.use(await openAuditTrail({ directory: join(folder, 'audit'), clock, log: silentLog }))
  const opened: { cache?: ResourceCache; url?: string } = {}
  const resources = openResources(store, {
    clock,
    random: randomBytes,
    sealer: testSealer,
    admissions: [accessAdmission(() => opened.cache!), namespaceAdmission],
  })
  const cache = (opened.cache = stack.use(await openResourceCache(resources)))
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const accountKeys = { active: async () => ({ kid: 'a1', privateKey }), publicKey: () => publicKey }
  const control = stack.use(
    openAccessControl({
      url: () => opened.url!,
      store,
      accountKeys,
      resources,
      cache,
      audit,
      clock,
      log: silentLog,
    }),
  )
  let token = ''
  await ensureAdminToken(store, {
    clock,
    random: randomBytes,
    deliver: (made) => {
      token = made.revealText()
    },
  })
  const { ca, tls } = loopbackCertificate()
  const key: IssuerKeyInfo = { kid: 'k1', signs: 'workload tokens', state: 'active', createdAt: 1, since: 1 }
  const api = stack.use(
    await openApi({
      listen: { host: '127.0.0.1', port: 0 },
      tls,
      resources,
      access: control.access,
      audit,
      issuer: { keys: () => [key], rotate: async () => [{ ...key, kid: 'k2', state: 'published' }] },
      readiness,
      clock,
      log: silentLog,
      version: '0.1.0',
      ...options,
      plugins: [...control.plugins, ...(options.plugins ?? [])],
    }),
  )
  const url = (opened.url = `https://127.0.0.1:${api.address.port}`)

  function send(target: string, init: RequestInit): Promise<Response> {
    const { method = 'GET', body, signal } = init
    return new Promise((resolve, reject) => {
      const headers = Object.fromEntries(new Headers(init.headers))
      const outgoing = request(
        target,
        { ca, method, headers, agent: false, ...(signal && { signal }) },
        (incoming) => {
          resolve(
            new Response(Readable.toWeb(incoming) as ReadableStream<Uint8Array>, {
              status: incoming.statusCode!,
              headers: Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
                values.map((value): [string, string] => [name, value]),
              ),
            }),
          )
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body as string | undefined)
    })
  }

  const warnings: string[] = []
  const client = openResourceClient({
    url,
    token: () => token,
    fetch: (target, init = {}) => send(target, init),
    onWarning: (warning) => warnings.push(warning),
  })
  return {
    url,
    api,
    ca,
    token,
    store,
    readiness,
    resources,
    client,
    clock,
    warnings,
    ask(
      method,
      path,
      {
        authorization = `Bearer ${token}`,
        body,
        contentType = 'application/json',
        headers: further = {},
      } = {},
    ) {
      const payload = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
      return new Promise((resolve, reject) => {
        const headers = {
          ...further,
          ...(authorization !== null && { authorization }),
          ...(payload !== undefined && {
            'content-type': contentType,
            'content-length': String(Buffer.byteLength(payload)),
          }),
        }
        const outgoing = request(url + path, { ca, method, headers, agent: false }, (incoming) => {
          text(incoming).then(
            (body) => resolve({ status: incoming.statusCode!, headers: incoming.headers, body }),
            reject,
          )
        })
        outgoing.on('error', reject)
        outgoing.end(payload)
      })
    },
    async auditTrail() {
      const { signal } = new AbortController()
      return Array.fromAsync(audit.read({ limit: 1000, follow: false, signal }))
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
