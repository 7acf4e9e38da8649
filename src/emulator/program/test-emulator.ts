import { execFile } from 'node:child_process'
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, SignJWT, type JWK, type JWTPayload } from 'jose'
import aws4 from 'aws4'
import { systemClock, type Clock } from '#base/clock'
import { silentLog } from '#base/log'
import { resolveSettings } from '#base/settings'
import type { AccessRecord } from '#emulator/aws'
import { certificatesToPem, createRootCertificate, hostName, issueCertificate } from '#model/pki'
import { runEmulator, type EmulatorReady } from './run-emulator.ts'
import { emulatorSettings } from './settings.ts'

/** An OIDC issuer on loopback, for tests: real https, real keys, and handles to misbehave. */
export interface TestIssuer extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly caFile: string
  /** What is served; change it at will. */
  readonly documents: { discovery: unknown; jwks: { keys: JWK[] } }
  /** Requests served so far, by path. */
  readonly hits: string[]
  /** A token that is in order but for what is given. `undefined` removes a claim. */
  mint(
    claims?: Record<string, unknown>,
    header?: { kid?: string; alg?: string; key?: KeyObject },
  ): Promise<string>
}

export interface TestEmulator extends AsyncDisposable {
  readonly ready: EmulatorReady
  readonly issuer: TestIssuer
  readonly folder: string
  readonly clock: Clock
  readonly root: { accessKeyId: string; secretAccessKey: string }
  records(): AccessRecord[]
}

const hour = 3_600_000

/** Certificates are made by the system's clock, which TLS goes by; tokens by the emulator's. */
async function openTestIssuer(folder: string, clock: Clock): Promise<TestIssuer> {
  const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [ca, leaf] = [ec(), ec()]
  const times = {
    serial: randomBytes(16),
    notBefore: systemClock.now() - hour,
    notAfter: systemClock.now() + hour,
  }
  const root = createRootCertificate(ca.privateKey, { ...times, commonName: 'test issuer CA' })
  const certificate = issueCertificate({ key: ca.privateKey, certificate: root }, leaf.publicKey, {
    ...times,
    commonName: 'localhost',
    names: [hostName('localhost')],
    extendedUsages: ['serverAuth'],
  })
  const caFile = join(folder, 'issuer-ca.pem')
  writeFileSync(caFile, certificatesToPem([root]))

  const signing = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk: JWK = { ...(await exportJWK(signing.publicKey)), kid: 'key-1', use: 'sig', alg: 'RS256' }
  const documents: { discovery: unknown; jwks: { keys: JWK[] } } = { discovery: {}, jwks: { keys: [jwk] } }
  const hits: string[] = []
  const server = createServer(
    { key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: certificatesToPem([certificate]) },
    (request, response) => {
      hits.push(request.url ?? '')
      const document =
        request.url === '/oidc/.well-known/openid-configuration' ? documents.discovery : documents.jwks
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(document))
    },
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const host = `localhost:${(server.address() as AddressInfo).port}/oidc`
  const url = `https://${host}`
  documents.discovery = { issuer: url, jwks_uri: `${url}/jwks` }
  return {
    url,
    host,
    caFile,
    documents,
    hits,
    async mint(claims = {}, { kid = 'key-1', alg = 'RS256', key = signing.privateKey } = {}) {
      const now = Math.floor(clock.now() / 1000)
      const payload = {
        iss: url,
        sub: 'spiffe://example.org/my-app',
        aud: clientId,
        iat: now,
        nbf: now,
        exp: now + 300,
        ...claims,
      }
      const header = kid === '' ? { alg } : { alg, kid }
      return await new SignJWT(JSON.parse(JSON.stringify(payload)) as JWTPayload)
        .setProtectedHeader(header)
        .sign(key)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A whole emulator and an issuer that it trusts, in a temporary folder and on free ports of loopback. */
export async function openTestEmulator({
  clock = systemClock,
}: { clock?: Clock } = {}): Promise<TestEmulator> {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-emulator-test-'))
  const issuer = await openTestIssuer(folder, clock)
  const stop = new AbortController()
  let running: Promise<void> = Promise.resolve()
  const ready = await new Promise<EmulatorReady>((onReady, reject) => {
    const flags = { listen: '127.0.0.1:0', stateDir: folder, issuerCa: issuer.caFile }
    const settings = resolveSettings(emulatorSettings, { flags })
    running = runEmulator(settings, { signal: stop.signal, onReady, clock, log: silentLog })
    running.catch(reject)
  })
  const credentials = readFileSync(ready.rootCredentialsFile, 'utf8')
  const field = (name: string) => new RegExp(`^${name} = (.*)$`, 'm').exec(credentials)?.[1] ?? ''
  return {
    ready,
    issuer,
    folder,
    clock,
    root: { accessKeyId: field('aws_access_key_id'), secretAccessKey: field('aws_secret_access_key') },
    records: () =>
      readFileSync(ready.accessLogFile, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as AccessRecord),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
      await issuer[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true })
    },
  }
}

/** What came back for one request. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Sends a request as it is to the emulator, under the host name that its headers give. */
export async function send(
  emulator: TestEmulator,
  options: {
    method?: string
    path?: string
    host?: string
    headers?: Readonly<Record<string, string>>
    body?: string | Buffer
  },
): Promise<Reply> {
  const { method = 'GET', path = '/', host = 'localhost', headers = {}, body = '' } = options
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: emulator.ready.host,
        port: emulator.ready.port,
        servername: host.replace(/:\d+$/, ''),
        ca: readFileSync(emulator.ready.caFile, 'utf8'),
        agent: false,
        method,
        path,
        headers: { host, 'content-length': Buffer.byteLength(body), ...headers },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (text += part))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** A signed IAM call by root. */
export async function iam(
  emulator: TestEmulator,
  Action: string,
  parameters: Record<string, string>,
): Promise<Reply> {
  const host = 'iam.amazonaws.com'
  const body = new URLSearchParams({ Action, Version: '2010-05-08', ...parameters }).toString()
  const headers = { ...amzDate(emulator.clock), 'content-type': 'application/x-www-form-urlencoded' }
  const signed = aws4.sign({ method: 'POST', host, path: '/', service: 'iam', headers, body }, emulator.root)
  return await send(emulator, { method: 'POST', host, headers: plainHeaders(signed.headers), body })
}

/** The X-Amz-Date header for a moment `ms` from now. */
export function amzDate(clock: Clock, ms = 0): Record<string, string> {
  return { 'x-amz-date': new Date(clock.now() + ms).toISOString().replaceAll(/[-:]|\.\d+/g, '') }
}

export function plainHeaders(headers: object | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]),
  )
}

export const clientId = 'sts.amazonaws.com'

/** A trust policy for the test issuer; `claims` are further conditions on its tokens. */
export function trustPolicy(emulator: TestEmulator, claims: Record<string, string> = {}): string {
  const { host } = emulator.issuer
  const conditions = Object.entries({ aud: clientId, ...claims }).map(([name, value]) => [
    `${host}:${name}`,
    value,
  ])
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::123456789012:oidc-provider/${host}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: { StringEquals: Object.fromEntries(conditions) },
      },
    ],
  })
}

export function allow(Action: string | string[], Resource: string | string[] = '*'): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource }] })
}

/** Registers the issuer and a role `app` with the given permissions. */
export async function prepare(emulator: TestEmulator, permissions: string): Promise<void> {
  const calls: [string, Record<string, string>][] = [
    ['CreateOpenIDConnectProvider', { Url: emulator.issuer.url, 'ClientIDList.member.1': clientId }],
    ['CreateRole', { RoleName: 'app', AssumeRolePolicyDocument: trustPolicy(emulator) }],
    ['PutRolePolicy', { RoleName: 'app', PolicyName: 'main', PolicyDocument: permissions }],
  ]
  for (const [action, parameters] of calls) {
    const reply = await iam(emulator, action, parameters)
    if (reply.status !== 200) throw new Error(`${action}: ${reply.text}`)
  }
}

/** The raw, unsigned exchange. */
export async function exchange(emulator: TestEmulator, parameters: Record<string, string>): Promise<Reply> {
  const body = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: 'arn:aws:iam::123456789012:role/app',
    RoleSessionName: 'my-session',
    ...parameters,
  }).toString()
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return await send(emulator, { method: 'POST', host: 'sts.us-east-1.amazonaws.com', headers, body })
}

export interface TemporaryCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

/** Exchanges a good token. */
export async function assume(
  emulator: TestEmulator,
  extra: Record<string, string> = {},
): Promise<TemporaryCredentials> {
  const reply = await exchange(emulator, { WebIdentityToken: await emulator.issuer.mint(), ...extra })
  const field = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(reply.text)?.[1] ?? ''
  if (reply.status !== 200) throw new Error(reply.text)
  return {
    accessKeyId: field('AccessKeyId'),
    secretAccessKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
  }
}

/** An agent for SDK clients: trusts the emulator and finds every host name at it. */
export function agentFor(emulator: TestEmulator): Agent {
  const address = emulator.ready.host
  return new Agent({
    ca: readFileSync(emulator.ready.caFile, 'utf8'),
    lookup: (_host, { all }, done) => {
      if (all) done(null, [{ address, family: 4 }])
      else done(null, address, 4)
    },
  })
}

/** Runs a program without inheriting any AWS setting of this machine. */
export async function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return await new Promise((resolve) => {
    const options = { env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', ...env }, timeout: 60_000 }
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr })
    })
  })
}
