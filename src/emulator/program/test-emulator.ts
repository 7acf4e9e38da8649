import { execFile } from 'node:child_process'
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, SignJWT, type JWK, type JWTPayload } from 'jose'
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
  mint(claims?: Record<string, unknown>, header?: { kid?: string; alg?: string; key?: KeyObject }): Promise<string>
}

export interface TestEmulator extends AsyncDisposable {
  readonly ready: EmulatorReady
  readonly issuer: TestIssuer
  readonly folder: string
  readonly root: { accessKeyId: string; secretAccessKey: string }
  records(): AccessRecord[]
}

const clientId = 'sts.amazonaws.com'
const hour = 3_600_000

async function openTestIssuer(folder: string, clock: Clock): Promise<TestIssuer> {
  const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [ca, leaf] = [ec(), ec()]
  const times = { serial: randomBytes(16), notBefore: clock.now() - hour, notAfter: clock.now() + 48 * hour }
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
      return await new SignJWT(JSON.parse(JSON.stringify(payload)) as JWTPayload).setProtectedHeader(header).sign(key)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A whole emulator and an issuer that it trusts, in a temporary folder and on free ports of loopback. */
export async function openTestEmulator({ clock = systemClock }: { clock?: Clock } = {}): Promise<TestEmulator> {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-emulator-test-'))
  const issuer = await openTestIssuer(folder, systemClock)
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
