import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Clock } from '#base/clock'
import { certificatesToPem, createRootCertificate, hostName, issueCertificate, mintLeaf } from '#model/pki'

const hour = 3_600_000
const lifetimeMs = 365 * 24 * hour
const maxContexts = 256

/** The emulator's own CA and the certificates of the hosts that it plays. */
export interface Certificates {
  readonly caPem: string
  /** For clients that name no host, or one that is not played: valid for localhost and the listening address. */
  readonly fallback: { readonly key: string; readonly cert: string }
  /** The context for a name of AWS or under localhost, minted on first use; undefined for any other name. */
  contextFor(serverName: string): SecureContext | undefined
}

/** Creates the CA. SECURITY: its key exists in memory only, so trusting its file ends with this process. */
export function createCertificates({
  clock,
  listenHost,
}: {
  clock: Clock
  listenHost: string
}): Certificates {
  const notBefore = clock.now() - hour
  const notAfter = clock.now() + lifetimeMs
  const rootKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const root = createRootCertificate(rootKey, {
    serial: randomBytes(16),
    commonName: 'Tideway emulator CA (not a real cloud)',
    notBefore,
    notAfter,
  })
  const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = leaf.privateKey.export(pkcs8)
  const contexts = new Map<string, SecureContext>()
  const names = new Set(['localhost', '127.0.0.1', '::1', listenHost])
  const own = issueCertificate({ key: rootKey, certificate: root }, leaf.publicKey, {
    serial: randomBytes(16),
    commonName: 'localhost',
    names: [...names].map(hostName),
    extendedUsages: ['serverAuth'],
    notBefore,
    notAfter,
  })
  return {
    caPem: certificatesToPem([root]),
    fallback: { key, cert: certificatesToPem([own]) },
    contextFor(serverName) {
      const host = serverName.toLowerCase()
      if (!/^[a-z0-9._-]{1,240}\.(?:amazonaws\.com|localhost)$/.test(host)) return undefined
      const known = contexts.get(host)
      if (known) return known
      const authority = { key: rootKey, chain: [root] }
      const serial = randomBytes(16)
      const der = mintLeaf({ host, publicKey: leaf.publicKey, authority, notBefore, notAfter, serial })
      const context = createSecureContext({ key, cert: certificatesToPem([new X509Certificate(der)]) })
      // At the bound the oldest is minted again when it is asked for.
      for (const oldest of contexts.keys()) if (contexts.size >= maxContexts) contexts.delete(oldest)
      contexts.set(host, context)
      return context
    },
  }
}

const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
