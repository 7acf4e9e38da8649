import { generateKeyPair, randomBytes, randomUUID, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { Secret } from '#base/secret'
import { createSelfSignedCertificate } from '#model/pki'
import { keyId, publicJwk, signJwtSvid } from '#model/token'
import type { Custody } from '#server/keys'
import { followEntries, type Store, type StoreEntry } from '#server/store'
import {
  activeKey,
  decodeRing,
  describeRing,
  encodeRing,
  pendingKey,
  withKey,
  type KeyRing,
  type RingKey,
} from './key-ring.ts'
import type { TokenIssuer } from './ports.ts'

const day = 86_400
const year = 365 * day * 1000
const ringKey = '/issuer/key-ring'
const privateKeyName = (kid: string) => `issuer/${kid}`
/** Times are looked at again at least this often, in case an operator sets the clock. */
const maxSleepMs = 3_600_000

export interface TokenIssuerSettings {
  /** Issuer identifier as verifiers fetch it, such as `https://tideway.example:8443/oidc`. */
  readonly url: string
  /** How long a key is in the JWKS before it signs: longer than verifiers cache the JWKS. Default a day. */
  readonly publishAheadSeconds?: number
  /** How long a key signs. Default 30 days. */
  readonly rotateEverySeconds?: number
  /** The longest token that is minted, and so how long a key stays published after its last. Default a day. */
  readonly maxTokenTtlSeconds?: number
}

/** A token issuer with its schedule. */
export interface RunningTokenIssuer extends TokenIssuer {
  /** How long a verifier may keep the JWKS and still know each key before it is used, in seconds. */
  readonly cacheSeconds: number
  /** Follows what other servers on the same store do. */
  follow(options: { signal: AbortSignal }): Promise<void>
  /** Rotates on schedule and drops keys whose last token has expired: one server's duty. */
  keepSchedule(options: { signal: AbortSignal }): Promise<void>
}

/** @throws Fault SETTING_INVALID */
function parseIssuerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new Fault('SETTING_INVALID', `issuer URL ${JSON.stringify(text)} is not a plain http or https URL`)
  }
  return text.replace(/\/+$/, '')
}

/**
 * Opens the issuer on the keys in the store; the first opening creates a key that is active at once.
 * @throws Fault SETTING_INVALID, STORE_CORRUPT
 */
export async function openTokenIssuer({
  store,
  custody,
  clock,
  log,
  settings,
}: {
  store: Store
  custody: Custody
  clock: Clock
  log: Log
  settings: TokenIssuerSettings
}): Promise<RunningTokenIssuer> {
  const { publishAheadSeconds = day, rotateEverySeconds = 30 * day, maxTokenTtlSeconds = day } = settings
  const url = parseIssuerUrl(settings.url)
  if (publishAheadSeconds >= rotateEverySeconds) {
    throw new Fault('SETTING_INVALID', 'issuer keys are published longer ahead than they are used')
  }

  let ring: KeyRing = []
  let revision = 0
  const privateKeys = new Map<string, KeyObject>()

  function adopt(entry: StoreEntry): void {
    if (entry.modRevision <= revision) return
    ring = decodeRing(entry.value)
    revision = entry.modRevision
    for (const kid of privateKeys.keys()) if (!ring.some((key) => key.kid === kid)) privateKeys.delete(kid)
  }

  async function reload(): Promise<void> {
    const entry = await store.get(ringKey)
    if (entry) adopt(entry)
  }

  /** Whether `next` took the place of the ring as we know it; if not, we know the new one now. */
  async function replace(next: KeyRing): Promise<boolean> {
    const { ok } = await store.transaction(
      [{ key: ringKey, modRevision: revision }],
      [{ type: 'put', key: ringKey, value: encodeRing(next) }],
    )
    await reload()
    return ok
  }

  async function createKey(activeFrom: EpochMs): Promise<RingKey> {
    const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
    const kid = await keyId(publicKey)
    const createdAt = clock.now()
    const certificate = createSelfSignedCertificate(privateKey, {
      commonName: 'Tideway OIDC issuer',
      serial: randomBytes(16),
      notBefore: createdAt,
      notAfter: createdAt + 10 * year,
    })
    await custody.save(privateKeyName(kid), Secret.of(privateKey.export({ type: 'pkcs8', format: 'der' })))
    return { kid, createdAt, activeFrom, certificate }
  }

  /** Adds a key unless, by then, `wanted` says that there is no need for it any more. */
  async function addKey(wanted: () => boolean, activeFrom: () => EpochMs): Promise<void> {
    const key = await createKey(activeFrom())
    while (wanted()) {
      if (!(await replace(withKey(ring, key)))) continue
      log.info('issuer.key.published', { kid: key.kid, activeFrom: new Date(key.activeFrom).toISOString() })
      return
    }
    await custody.remove(privateKeyName(key.kid))
  }

  const describe = () => describeRing(ring, clock.now(), maxTokenTtlSeconds)
  const publishNext = () =>
    addKey(
      () => pendingKey(ring, clock.now()) === undefined,
      () => clock.now() + publishAheadSeconds * 1000,
    )

  async function privateKeyOf(kid: string): Promise<KeyObject> {
    const known = privateKeys.get(kid)
    if (known) return known
    const key = await custody.privateKey(privateKeyName(kid), () => {
      throw new Fault('STORE_CORRUPT', `the private half of issuer key ${kid} is gone`)
    })
    privateKeys.set(kid, key)
    return key
  }

  async function removeExpired(): Promise<void> {
    const now = clock.now()
    const expired = new Set(
      describe().flatMap(({ kid, removeAt }) => (removeAt !== undefined && removeAt <= now ? [kid] : [])),
    )
    if (expired.size === 0 || !(await replace(ring.filter(({ kid }) => !expired.has(kid))))) return
    for (const kid of expired) {
      await custody.remove(privateKeyName(kid))
      log.info('issuer.key.removed', { kid })
    }
  }

  function nextPublicationAt(): EpochMs {
    return ring.at(-1)!.activeFrom + (rotateEverySeconds - publishAheadSeconds) * 1000
  }

  async function keepSchedule({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await removeExpired()
      if (clock.now() >= nextPublicationAt()) await publishNext()
      const due = [nextPublicationAt(), ...describe().map(({ removeAt = Infinity }) => removeAt)]
      const wait = Math.max(0, Math.min(...due) - clock.now())
      await clock.sleep(Math.min(wait, maxSleepMs), { signal }).catch(() => {})
    }
  }

  async function follow({ signal }: { signal: AbortSignal }): Promise<void> {
    for await (const { events } of followEntries(store, ringKey, { signal })) {
      for (const event of events) if (event.type === 'put') adopt(event.entry)
    }
  }

  await reload()
  if (ring.length === 0) {
    await addKey(
      () => ring.length === 0,
      () => clock.now(),
    )
  }

  return {
    url,
    cacheSeconds: Math.min(300, Math.floor(publishAheadSeconds / 2)),
    async mint({ subject, audience, ttlSeconds, claims }) {
      if (ttlSeconds > maxTokenTtlSeconds) {
        throw new Fault('TOKEN_INVALID', `a token lives ${maxTokenTtlSeconds} s at most, not ${ttlSeconds}`)
      }
      const issuedAt = clock.now()
      const { kid } = activeKey(ring, issuedAt)!
      return signJwtSvid(
        { kid, privateKey: await privateKeyOf(kid) },
        { issuer: url, subject, audience, issuedAt, ttlSeconds, id: randomUUID(), ...(claims && { claims }) },
      )
    },
    discovery: () => ({
      issuer: url,
      jwks_uri: `${url}/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      claims_supported: ['iss', 'sub', 'aud', 'iat', 'nbf', 'exp', 'jti'],
    }),
    jwks: () => ({
      keys: describe().map(({ kid }) => ({
        ...publicJwk(kid, ring.find((key) => key.kid === kid)!.certificate),
      })),
    }),
    keys: describe,
    async rotate() {
      await publishNext()
      const newest = ring.at(-1)!.kid
      return describe().find(({ kid }) => kid === newest)!
    },
    follow,
    keepSchedule,
  }
}
