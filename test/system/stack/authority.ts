// A certificate authority of the tests, which the stack under test trusts like a public one.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { systemClock } from '#base/clock'
import { certificatesToPem, createRootCertificate, mintLeaf } from '#model/pki'

const hour = 3_600_000

export interface Authority {
  readonly caPem: string
  /** Key and certificate of a host, as `node:tls` wants them. */
  leafFor(host: string, options?: { expired?: boolean }): { key: string; cert: string }
}

export function openAuthority(commonName: string): Authority {
  const now = systemClock.now()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const serial = () => randomBytes(16)
  const root = createRootCertificate(privateKey, {
    serial: serial(),
    commonName,
    notBefore: now - 48 * hour,
    notAfter: now + 48 * hour,
  })
  return {
    caPem: certificatesToPem([root]),
    leafFor(host, { expired = false } = {}) {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const der = mintLeaf({
        host,
        publicKey: leaf.publicKey,
        authority: { key: privateKey, chain: [root] },
        notBefore: now - 24 * hour,
        notAfter: expired ? now - hour : now + 24 * hour,
        serial: serial(),
      })
      return {
        key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }),
        cert: certificatesToPem([new X509Certificate(der)]),
      }
    },
  }
}
