import { constants, createHash } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'

/** What upstream certificates are verified against. */
export interface TrustSet {
  /** Equal for equal sets of roots. */
  readonly id: string
  readonly context: SecureContext
}

export interface UpstreamTrust {
  readonly systemRootsPem: readonly string[]
  /** Added to the system roots by a daemon setting. */
  readonly extraCaPem?: string
}

/** Opens the look-up of trust sets: the system's, or a Service's own CA in its place (at most 64 are kept). */
export function openTrustSets({
  systemRootsPem,
  extraCaPem,
}: UpstreamTrust): (caBundlePem: string | undefined) => TrustSet {
  const maxSets = 64
  const sets = new Map<string | undefined, TrustSet>()
  return (caBundlePem) => {
    const known = sets.get(caBundlePem)
    if (known) return known
    const system = extraCaPem === undefined ? systemRootsPem : [...systemRootsPem, extraCaPem]
    const ca = caBundlePem === undefined ? [...system] : [caBundlePem]
    const set = {
      id: createHash('sha256').update(ca.join('\n')).digest('hex'),
      // SECURITY: no handshake but the first, in which certificate and name are checked.
      context: createSecureContext({
        ca,
        minVersion: 'TLSv1.2',
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      }),
    }
    sets.set(caBundlePem, set)
    if (sets.size > maxSets) sets.delete(sets.keys().next().value)
    return set
  }
}
