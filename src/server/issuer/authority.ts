import { randomBytes, X509Certificate } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EpochMs } from '#base/clock'
import type { TrustDomain } from '#model/identity'
import { hostConstraints, issueCertificate, parseCertificateRequest } from '#model/pki'
import type { CertificateAuthority } from './ports.ts'
import { clockSkewMs, openRoot, removeRoot, type RootStorage } from './root.ts'

/** Security rule 17. */
const intermediateLifeMs = 86_400_000

const notAfter = (certificate: X509Certificate): EpochMs => certificate.validToDate.getTime()

/** Half a millisecond each. Fewer would wait for turns, of which a busy server takes few, until daemons give up. */
const certificatesInTurn = 8

/**
 * Gives those that ask turns of the event loop, a few the same one. When a host is new to a thousand daemons, or all
 * of them join, everything else of the server would wait for all of their certificates.
 */
function openTurns(): () => Promise<void> {
  let last = Promise.resolve()
  let asked = 0
  return () => {
    if (asked++ % certificatesInTurn === 0) last = last.then(() => nextTurn())
    return last
  }
}

/** Opens the SPIFFE CA of `trustDomain`, creating its root on first use. */
export async function openCertificateAuthority({
  trustDomain,
  ...storage
}: RootStorage & { trustDomain: TrustDomain }): Promise<CertificateAuthority> {
  const { clock } = storage
  const root = await openRoot(storage, {
    name: 'spiffe',
    commonName: `Tideway ${trustDomain}`.slice(0, 64),
    pathLength: 0,
    // X509-SVID section 3: a signing certificate bears the trust domain's own ID.
    names: [{ type: 'uri', value: `spiffe://${trustDomain}` }],
  })
  const interceptRoot = (daemonName: string) =>
    openRoot(storage, {
      name: `intercept/${daemonName}`,
      commonName: `Tideway intercept CA ${daemonName}`.slice(0, 64),
      pathLength: 1,
    })
  const turn = openTurns()

  return {
    bundle: () => [root.certificate],
    async issueSvid({ spiffeId, csrDer, ttlSeconds, dnsNames = [] }) {
      await turn()
      const { publicKey } = parseCertificateRequest(csrDer)
      const now = clock.now()
      const certificate = issueCertificate(root, publicKey, {
        serial: randomBytes(16),
        notBefore: now - clockSkewMs,
        notAfter: Math.min(now + ttlSeconds * 1000, notAfter(root.certificate)),
        names: [
          { type: 'uri', value: spiffeId },
          ...dnsNames.map((value) => ({ type: 'dns', value }) as const),
        ],
        extendedUsages: ['serverAuth', 'clientAuth'],
      })
      return { chain: [certificate], notAfter: notAfter(certificate) }
    },
    interceptRoot: async (daemonName) => (await interceptRoot(daemonName)).certificate,
    async issueIntermediate({ daemonName, csrDer, hosts }) {
      await turn()
      const { publicKey } = parseCertificateRequest(csrDer)
      const signer = await interceptRoot(daemonName)
      const now = clock.now()
      const certificate = issueCertificate(signer, publicKey, {
        commonName: 'Tideway intercept intermediate',
        serial: randomBytes(16),
        notBefore: now - clockSkewMs,
        notAfter: Math.min(now + intermediateLifeMs - clockSkewMs, notAfter(signer.certificate)),
        extendedUsages: ['serverAuth'],
        authority: { pathLength: 0, constraints: hostConstraints(hosts) },
      })
      return { chain: [certificate, signer.certificate], notAfter: notAfter(certificate) }
    },
    removeInterceptRoot: (daemonName, held) => removeRoot(storage, `intercept/${daemonName}`, held),
  }
}
