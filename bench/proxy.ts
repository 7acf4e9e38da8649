/** The daemon's data plane as one process, with fixed answers in place of capture and attestation. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { systemClock } from '#base/clock'
import { openLog } from '#base/log'
import { Secret } from '#base/secret'
import { openDataPlane } from '#daemon/outbound'
import { parseSpiffeId } from '#model/identity'
import { createRootCertificate, issueCertificate } from '#model/pki'
import { credentialKey, type ScopedIdentity } from '#model/scope'
import { order, report, type ProxyOrder } from './messages.ts'

const { host, upstreamPort, upstreamCaPem } = await order<ProxyOrder>()
const spiffeId = parseSpiffeId('spiffe://bench.test/app')
const identity: ScopedIdentity = { name: 'app', spiffeId, selectors: [], captureAll: false, intercept: true }
const now = systemClock.now()
const day = 86_400_000
const life = () => ({ serial: randomBytes(16), notBefore: now - 3_600_000, notAfter: now + day })

const rootKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const root = createRootCertificate(rootKeys.privateKey, { commonName: 'bench intercept root', ...life() })
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const intermediate = issueCertificate({ key: rootKeys.privateKey, certificate: root }, keys.publicKey, {
  commonName: 'bench intercept',
  authority: { pathLength: 0 },
  ...life(),
})

const plane = openDataPlane({
  clock: systemClock,
  log: openLog({ program: 'bench', level: 'warn' }),
  identifier: {
    identify: async () => ({ kind: 'identified', identity, executable: '/usr/bin/app' }),
    stillHolds: () => true,
  },
  audit: { start: async () => {}, end: () => {} },
  connectTo: [],
  upstreamTrust: { systemRootsPem: [upstreamCaPem] },
  lease: () => true,
  random: randomBytes,
})
plane.setLeafAuthority({ key: keys.privateKey, chain: [intermediate, root] })
plane.apply({
  identities: new Map([['app', identity]]),
  services: new Map([['upstream', { name: 'upstream', addresses: [{ host, port: upstreamPort }] }]]),
  bindings: new Map([
    [
      'app',
      {
        name: 'app',
        spiffeId,
        sourceName: 'aws',
        serviceNames: ['upstream'],
        minimumCapture: 'process',
        allowCredentialIssuance: false,
      },
    ],
  ]),
  credentials: new Map([
    [
      credentialKey(spiffeId, 'aws'),
      {
        spiffeId,
        sourceName: 'aws',
        credential: {
          kind: 'aws',
          accessKeyId: 'ASIABENCH',
          secretAccessKey: Secret.of(randomBytes(30).toString('base64')),
          // As long as those of STS.
          sessionToken: Secret.of(randomBytes(700).toString('base64')),
          issuedAt: now,
          expiresAt: now + day,
        },
      },
    ],
  ]),
})

const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
  plane.accept(socket, {
    level: 'process',
    process: {
      pid: process.pid,
      startTicks: 1n,
      exeDevice: 1,
      exeInode: 1n,
      uid: 1000,
      gid: 1000,
      cgroupId: 0n,
    },
    destination: { address: '127.0.0.1', port: upstreamPort },
    netnsCookie: 1n,
  }),
)
server.listen(0, '127.0.0.1', () =>
  report({ port: (server.address() as AddressInfo).port, caPem: root.toString() }),
)
