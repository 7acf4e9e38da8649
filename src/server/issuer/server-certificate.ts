import { createHash, createPublicKey, randomBytes, type X509Certificate } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { certificatesToPem, hostName, issueCertificate } from '#model/pki'
import { clockSkewMs, generateSigningKey, openRoot, type RootStorage } from './root.ts'

const leafLifeMs = 7 * 86_400_000

/** What a TLS server presents, as `node:tls` takes it. */
export interface TlsMaterial {
  readonly key: string
  readonly cert: string
}

/** The certificate of the HTTPS port where the operator brings none, under a CA of its own. */
export interface ServerCertificate {
  /** `sha256:` and the hex digest of the CA certificate's DER: what `--ca-hash` takes. */
  readonly caHash: string
  readonly ca: X509Certificate
  /** Leaf and CA: the CA travels along, so that who knows only its hash can check it. */
  tls(): TlsMaterial
  /** Issues a new leaf before the present one expires, or where the clock was set back, and passes it on. */
  run(options: { signal: AbortSignal; onRenewed: (tls: TlsMaterial) => void }): Promise<void>
}

/** `sha256:<hex>` over the certificate's DER. */
export function certificateHash(certificate: X509Certificate): string {
  return `sha256:${createHash('sha256').update(certificate.raw).digest('hex')}`
}

/**
 * Opens the server's own CA, created on first use and kept, so that the hash holds over restarts. The leaf's
 * key lives in memory only. `hosts`: every name and address by which clients reach the server.
 * @throws TypeError when a host is neither a DNS name nor an IP address
 */
export async function openServerCertificate({
  hosts,
  ...storage
}: RootStorage & { hosts: readonly string[] }): Promise<ServerCertificate> {
  const { clock } = storage
  const root = await openRoot(storage, { name: 'server', commonName: 'Tideway server CA', pathLength: 0 })
  const names = [...new Set(['localhost', '127.0.0.1', '::1', ...hosts])].map(hostName)
  let current: { tls: TlsMaterial; notBefore: EpochMs; renewAt: EpochMs }

  function renew(): TlsMaterial {
    const key = generateSigningKey()
    const now = clock.now()
    const notBefore = now - clockSkewMs
    const leaf = issueCertificate(root, createPublicKey(key), {
      serial: randomBytes(16),
      notBefore,
      notAfter: now + leafLifeMs,
      commonName: 'Tideway server',
      names,
      extendedUsages: ['serverAuth'],
    })
    const tls = {
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      cert: certificatesToPem([leaf, root.certificate]),
    }
    current = { tls, notBefore, renewAt: now + leafLifeMs / 2 }
    return tls
  }

  renew()
  return {
    ca: root.certificate,
    caHash: certificateHash(root.certificate),
    tls: () => current.tls,
    async run({ signal, onRenewed }) {
      while (!signal.aborted) {
        await clock.until(current.renewAt, { signal }).catch(() => {})
        const isGood = clock.now() < current.renewAt && clock.now() >= current.notBefore
        if (!signal.aborted && !isGood) onRenewed(renew())
      }
    },
  }
}
