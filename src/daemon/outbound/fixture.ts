import { generateKeyPairSync, randomBytes, type KeyObject, type X509Certificate } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import type { ConnectionOrigin } from '#daemon/capture'
import type { RequestEnd, RequestStart } from '#model/audit'
import type { AwsCredential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import { createRootCertificate, createSelfSignedCertificate, issueCertificate, type Signer } from '#model/pki'
import {
  credentialKey,
  type Scope,
  type ScopedBinding,
  type ScopedCredential,
  type ScopedIdentity,
  type ScopedService,
} from '#model/scope'
import {
  openDataPlane,
  type AuditSink,
  type DataPlane,
  type DataPlaneOptions,
  type Identifier,
  type LeafAuthority,
} from './index.ts'

/** What the tests of the data plane share: certificates, upstreams on loopback, a plane, and a scope. */

const hour = 3_600_000
export const host = 's3.us-east-1.amazonaws.com'
export const secretText = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
export const tokenText = 'session-token-that-must-not-travel-elsewhere'

function newKeys() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function life(now: number) {
  return { serial: randomBytes(16), notBefore: now - hour, notAfter: now + hour }
}

export function openAuthority(commonName: string): Signer {
  const { privateKey } = newKeys()
  const certificate = createRootCertificate(privateKey, { commonName, ...life(systemClock.now()) })
  return { key: privateKey, certificate }
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' })
}

/** Key and certificate of a server: signed by `authority`, or by itself without one. */
export function serverIdentity(
  name: string,
  { authority, expired = false }: { authority?: Signer; expired?: boolean } = {},
): { key: string; cert: string } {
  const { privateKey, publicKey } = newKeys()
  const type = /^[0-9.]+$|:/.test(name) ? ('ip' as const) : ('dns' as const)
  const profile = {
    ...life(expired ? systemClock.now() - 2 * hour : systemClock.now()),
    names: [{ type, value: name }],
    extendedUsages: ['serverAuth' as const],
  }
  const certificate: X509Certificate = authority
    ? issueCertificate(authority, publicKey, profile)
    : createSelfSignedCertificate(privateKey, { ...profile, commonName: name })
  return { key: pemOf(privateKey), cert: certificate.toString() }
}

export interface Listener extends AsyncDisposable {
  readonly port: number
  /** Sockets accepted so far. */
  readonly sockets: readonly Socket[]
}

async function listening(server: Server, event: string): Promise<Listener> {
  const sockets: Socket[] = []
  server.on(event, (socket: Socket) => {
    socket.on('error', () => {})
    sockets.push(socket)
  })
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

export function listenPlain(onSocket: (socket: Socket) => void): Promise<Listener> {
  return listening(createServer({ allowHalfOpen: true }, onSocket), 'connection')
}

export function listenTls(options: TlsOptions, onSocket: (socket: Socket) => void): Promise<Listener> {
  const server = createTlsServer({ ALPNProtocols: ['http/1.1'], ...options }, onSocket)
  server.on('tlsClientError', () => {})
  return listening(server, 'secureConnection')
}

export const identity: ScopedIdentity = {
  name: 'app',
  spiffeId: parseSpiffeId('spiffe://example.org/app'),
  selectors: [],
  captureAll: false,
  intercept: true,
}

export const other: ScopedIdentity = {
  ...identity,
  name: 'other',
  spiffeId: parseSpiffeId('spiffe://example.org/other'),
}

export function credential(
  accessKeyId = 'ASIAFIRST',
  of: ScopedIdentity = identity,
): ScopedCredential & { readonly credential: AwsCredential } {
  return {
    spiffeId: of.spiffeId,
    sourceName: 'aws',
    credential: {
      kind: 'aws',
      accessKeyId,
      secretAccessKey: Secret.of(secretText),
      sessionToken: Secret.of(tokenText),
      issuedAt: systemClock.now(),
      expiresAt: systemClock.now() + hour,
    },
  }
}

export interface ScopeParts {
  identities?: ScopedIdentity[]
  service?: Partial<ScopedService>
  binding?: Partial<ScopedBinding>
  bindings?: ScopedBinding[]
  credentials?: ScopedCredential[]
}

export function binding(rest: Partial<ScopedBinding> = {}): ScopedBinding {
  return {
    name: 'app-aws',
    spiffeId: identity.spiffeId,
    sourceName: 'aws',
    serviceNames: ['s3'],
    minimumCapture: 'process',
    allowCredentialIssuance: false,
    ...rest,
  }
}

export function scopeOf(port: number, parts: ScopeParts = {}): Scope {
  const service = { name: 's3', addresses: [{ host, port }], ...parts.service }
  const bindings = parts.bindings ?? [binding(parts.binding)]
  const credentials = parts.credentials ?? [credential()]
  const identities = parts.identities ?? [identity]
  return {
    identities: new Map(identities.map((item) => [item.name, item])),
    services: new Map([[service.name, service]]),
    bindings: new Map(bindings.map((item) => [item.name, item])),
    credentials: new Map(credentials.map((item) => [credentialKey(item.spiffeId, item.sourceName), item])),
  }
}

/** Both identities bound to the same host, each with a credential of its own: ASIAFIRST and ASIAOTHER. */
export function sharedScopeOf(port: number, parts: Pick<ScopeParts, 'service'> = {}): Scope {
  return scopeOf(port, {
    ...parts,
    identities: [identity, other],
    bindings: [binding(), binding({ name: 'other-aws', spiffeId: other.spiffeId })],
    credentials: [credential(), credential('ASIAOTHER', other)],
  })
}

export interface MemoryAudit extends AuditSink {
  readonly starts: RequestStart[]
  readonly ends: RequestEnd[]
  /** Resolves once this many end records are there. */
  untilEnds(count: number): Promise<readonly RequestEnd[]>
}

export function memoryAudit(): MemoryAudit {
  const starts: RequestStart[] = []
  const ends: RequestEnd[] = []
  const changed = new EventEmitter()
  return {
    starts,
    ends,
    start: async (line) => void starts.push(JSON.parse(line) as RequestStart),
    end(line) {
      ends.push(JSON.parse(line) as RequestEnd)
      changed.emit('end')
    },
    async untilEnds(count) {
      while (ends.length < count) await once(changed, 'end')
      return ends
    },
  }
}

/** Knows every connection as `identity` until told otherwise. */
export interface FixedIdentifier extends Identifier {
  verdict: Awaited<ReturnType<Identifier['identify']>>
  holds: boolean
  identified: number
}

export function fixedIdentifier(): FixedIdentifier {
  return {
    verdict: { kind: 'identified', identity, executable: '/usr/bin/app' },
    holds: true,
    identified: 0,
    async identify() {
      this.identified += 1
      this.holds = true
      return this.verdict
    },
    stillHolds() {
      return this.holds
    },
  }
}

export function originOf(
  destination: ConnectionOrigin['destination'],
  rest: Partial<ConnectionOrigin> = {},
): ConnectionOrigin {
  return {
    level: 'process',
    process: { pid: 4242, startTicks: 1n, exeDevice: 1, exeInode: 2n, uid: 1000, gid: 1000, cgroupId: 0n },
    destination,
    netnsCookie: 7n,
    ...rest,
  }
}

export interface Bed extends AsyncDisposable {
  readonly plane: DataPlane
  readonly audit: MemoryAudit
  readonly identifier: FixedIdentifier
  /** Trusted by the plane for upstreams. */
  readonly upstreamCa: Signer
  /** What clients of intercepted connections trust. */
  readonly interceptCaPem: string
  /** Which the plane has from the beginning. */
  readonly leafAuthority: LeafAuthority
  /** Connections to this port are accepted as going to `destination`. */
  listen(destination: ConnectionOrigin['destination'], rest?: Partial<ConnectionOrigin>): Promise<Listener>
}

/** A data plane with fixed answers in place of capture and attestation; `options` replaces parts of it. */
export function openBed(
  options: Partial<DataPlaneOptions> & { audit?: MemoryAudit; identifier?: FixedIdentifier } = {},
): Bed {
  const upstreamCa = openAuthority('upstream')
  const root = openAuthority('intercept root')
  const keys = newKeys()
  const intermediate = issueCertificate(root, keys.publicKey, {
    ...life(systemClock.now()),
    commonName: 'intercept',
    authority: { pathLength: 0 },
  })
  const audit = options.audit ?? memoryAudit()
  const identifier = options.identifier ?? fixedIdentifier()
  const stack = new AsyncDisposableStack()
  const plane = stack.use(
    openDataPlane({
      clock: systemClock,
      log: silentLog,
      connectTo: [],
      upstreamTrust: { systemRootsPem: [upstreamCa.certificate.toString()] },
      lease: () => true,
      random: randomBytes,
      resolve: async () => {
        throw new Error('no such host')
      },
      ...options,
      audit,
      identifier,
    }),
  )
  const leafAuthority: LeafAuthority = {
    key: keys.privateKey,
    chain: [intermediate, root.certificate],
    hosts: [
      '*.us-east-1.amazonaws.com',
      '*.mrap.accesspoint.s3-global.amazonaws.com',
      '*.example.com',
      '127.0.0.1',
    ],
  }
  plane.setLeafAuthorities([leafAuthority])
  return {
    plane,
    leafAuthority,
    audit,
    identifier,
    upstreamCa,
    interceptCaPem: root.certificate.toString(),
    async listen(destination, rest) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        plane.accept(socket, originOf(destination, rest))
      })
      return stack.use(await listening(server, 'connection'))
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
