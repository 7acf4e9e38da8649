import { constants, generateKeyPairSync, hkdfSync, type KeyObject, type X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Clock, EpochMs } from '#base/clock'
import { openBell } from '#base/lifecycle'
import { Secret } from '#base/secret'
import { certificatesToPem, mintLeaf, parseCertificate } from '#model/pki'
import { wildcardOf } from '#model/policy'

/** Key and certificates with which leaves are signed: the intermediate first, then its root. */
export interface LeafIssuer {
  readonly key: KeyObject
  readonly chain: readonly X509Certificate[]
  /** What it may issue for; `*.` stands for one label. */
  readonly hosts: readonly string[]
}

/** The TLS server contexts of intercepted hosts. */
export interface Leaves {
  /** Replaces the issuers, each for hosts of its own; what was minted before is forgotten. */
  setIssuers(issuers: readonly LeafIssuer[]): void
  /** The context that serves as `host`; undefined while no issuer may issue for it, or its certificate has expired. */
  contextFor(host: string): SecureContext | undefined
  /** As `contextFor`, but waits for one: a host may be bound a moment before its issuer is there. */
  untilContext(host: string, signal: AbortSignal): Promise<SecureContext | undefined>
}

interface Entry {
  readonly context: SecureContext
  readonly notBefore: EpochMs
  /** From then on a new leaf is minted. */
  readonly staleAt: EpochMs
}

const hour = 3_600_000
const leafLifeMs = 24 * hour
/** Clients whose clock is a little behind accept the leaf all the same. */
const backdatedMs = hour
/** A name, a key for the cipher and one for the MAC, of 16 bytes each. */
const ticketKeyBytes = 48

/**
 * Opens the cache of at most `maxHosts` contexts (about 20 KiB each); beyond that the least recently used goes.
 * One key pair serves all leaves of this process and dies with it.
 *
 * SECURITY: ticket keys follow from the issuer and the host, so a session resumes at every worker of this daemon, for
 * its host only, and not beyond its issuer. A ticket carries no identity: that comes from the connection record.
 */
export function openLeaves({
  clock,
  random,
  maxHosts = 512,
}: {
  clock: Clock
  random: (size: number) => Buffer
  maxHosts?: number
}): Leaves {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keyPem = Secret.of(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const contexts = new Map<string, Entry>()
  let issuers: readonly {
    readonly key: KeyObject
    readonly chain: readonly X509Certificate[]
    readonly certificate: X509Certificate
    readonly hosts: ReadonlySet<string>
    readonly ticketSecret: Secret
  }[] = []
  const issued = openBell()

  function mint(host: string, now: EpochMs): Entry | undefined {
    const issuer = issuers.find(({ hosts }) => hosts.has(host) || hosts.has(wildcardOf(host)))
    if (!issuer) return undefined
    const notAfter = Math.min(now + leafLifeMs, issuer.certificate.validToDate.getTime())
    if (notAfter <= now) return undefined
    const notBefore = now - backdatedMs
    const leaf = mintLeaf({
      host,
      publicKey,
      authority: issuer,
      notBefore,
      notAfter,
      serial: random(16),
    })
    const context = createSecureContext({
      key: keyPem.reveal(),
      cert: certificatesToPem([parseCertificate(leaf), issuer.certificate]),
      minVersion: 'TLSv1.2',
      // SECURITY: no handshake but the first: a client could have us compute one after the other.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      sessionIdContext: 'tideway',
      ticketKeys: Buffer.from(
        hkdfSync('sha256', issuer.ticketSecret.reveal(), '', `tideway tickets ${host}`, ticketKeyBytes),
      ),
    })
    return { context, notBefore, staleAt: now + (notAfter - now) / 2 }
  }

  function contextFor(host: string): SecureContext | undefined {
    const now = clock.now()
    const known = contexts.get(host)
    contexts.delete(host)
    const isGood = known && now >= known.notBefore && now < known.staleAt
    const entry = isGood ? known : mint(host, now)
    if (!entry) return undefined
    contexts.set(host, entry)
    if (contexts.size > maxHosts) contexts.delete(contexts.keys().next().value!)
    return entry.context
  }

  return {
    setIssuers(given) {
      issuers = given.map(({ key, chain, hosts }) => {
        const [certificate] = chain
        if (!certificate) throw new TypeError('a leaf issuer needs its certificate')
        const ticketSecret = Secret.of(key.export({ type: 'pkcs8', format: 'der' }))
        return { key, chain, certificate, hosts: new Set(hosts), ticketSecret }
      })
      contexts.clear()
      issued.ring()
    },
    contextFor,
    async untilContext(host, signal) {
      for (;;) {
        const { rings } = issued
        const context = contextFor(host)
        if (context || signal.aborted) return context
        await issued.after(rings, signal)
      }
    },
  }
}
