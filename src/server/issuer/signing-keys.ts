import { randomBytes, type KeyObject } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { Secret } from '#base/secret'
import { createSelfSignedCertificate } from '#model/pki'
import { keyId } from '#model/token'
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
import type { IssuerKeyInfo } from './ports.ts'

const year = 365 * 86_400_000
/** Somebody may rotate them meanwhile: what follows from that is done at the next look. */
const lookEveryMs = 3_600_000

export interface KeySchedule {
  /** How long a key is published before it signs. */
  readonly publishAheadSeconds: number
  /** How long a key signs. */
  readonly rotateEverySeconds: number
  /** The longest token, and so how long a key stays published after its last. */
  readonly maxTokenTtlSeconds: number
}

/** Where keys are written. */
export interface KeyPlace {
  readonly store: Store
  readonly custody: Custody
}

/** Keys that sign one sort of token: in the store, and on a schedule. */
export interface SigningKeys {
  /** The key that signs now. */
  active(): Promise<{ readonly kid: string; readonly privateKey: KeyObject }>
  /** The public half of a key that signs, did or will; undefined once it is retired. */
  publicKey(kid: string): KeyObject | undefined
  /** Those that verifiers must know, the active one first. */
  published(): KeyRing
  keys(): readonly IssuerKeyInfo[]
  /** Publishes a key that becomes active after its publication time, unless one waits already; returns it. */
  rotate(): Promise<IssuerKeyInfo>
  /** Follows what other servers on the same store do. */
  follow(options: { signal: AbortSignal }): Promise<void>
  /** Rotates on schedule and drops keys whose last token has expired: one server's duty, through the term's store. */
  keepSchedule(options: { signal: AbortSignal } & KeyPlace): Promise<void>
}

/**
 * Opens the keys called `name` in the store and in custody; the first opening creates one that is active at once.
 * @throws Fault SETTING_INVALID, STORE_CORRUPT
 */
export async function openSigningKeys({
  store,
  custody,
  clock,
  log,
  name,
  signs,
  commonName,
  generate,
  schedule: { publishAheadSeconds, rotateEverySeconds, maxTokenTtlSeconds },
}: KeyPlace & {
  clock: Clock
  log: Log
  name: string
  signs: IssuerKeyInfo['signs']
  /** Of the self-signed certificates in which the public halves are kept. */
  commonName: string
  generate: () => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>
  schedule: KeySchedule
}): Promise<SigningKeys> {
  if (publishAheadSeconds >= rotateEverySeconds) {
    throw new Fault('SETTING_INVALID', 'signing keys are published longer ahead than they are used')
  }
  const ringKey = `/${name}/key-ring`
  const privateKeyName = (kid: string) => `${name}/${kid}`
  const own: KeyPlace = { store, custody }
  let ring: KeyRing = []
  let revision = 0
  const privateKeys = new Map<string, KeyObject>()

  function adopt(entry: StoreEntry): void {
    ring = decodeRing(entry.value)
    revision = entry.modRevision
    for (const kid of privateKeys.keys()) if (!ring.some((key) => key.kid === kid)) privateKeys.delete(kid)
  }

  async function reload(): Promise<void> {
    const entry = await store.get(ringKey)
    // What is followed may have come first.
    if (entry && entry.modRevision > revision) adopt(entry)
  }

  /** Whether `next` took the place of the ring as we know it; if not, we know the new one now. */
  async function replace(next: KeyRing, place: KeyPlace): Promise<boolean> {
    const { ok } = await place.store.transaction(
      [{ key: ringKey, modRevision: revision }],
      [{ type: 'put', key: ringKey, value: encodeRing(next) }],
    )
    await reload()
    return ok
  }

  async function createKey(activeFrom: EpochMs, { custody }: KeyPlace): Promise<RingKey> {
    const { privateKey, publicKey } = await generate()
    const kid = await keyId(publicKey)
    const createdAt = clock.now()
    const certificate = createSelfSignedCertificate(privateKey, {
      commonName,
      serial: randomBytes(16),
      notBefore: createdAt,
      notAfter: createdAt + 10 * year,
    })
    await custody.save(privateKeyName(kid), Secret.of(privateKey.export({ type: 'pkcs8', format: 'der' })))
    return { kid, createdAt, activeFrom, certificate }
  }

  /** Adds a key unless, by then, `wanted` says that there is no need for it any more. */
  async function addKey(wanted: () => boolean, activeFrom: () => EpochMs, place: KeyPlace): Promise<void> {
    const key = await createKey(activeFrom(), place)
    while (wanted()) {
      if (!(await replace(withKey(ring, key), place))) continue
      const from = new Date(key.activeFrom).toISOString()
      log.info('issuer.key.published', { kid: key.kid, signs, activeFrom: from })
      return
    }
    await place.custody.remove(privateKeyName(key.kid))
  }

  const describe = () => describeRing(ring, clock.now(), maxTokenTtlSeconds, signs)
  const publishNext = (place: KeyPlace) =>
    addKey(
      () => pendingKey(ring, clock.now()) === undefined,
      () => clock.now() + publishAheadSeconds * 1000,
      place,
    )

  async function privateKeyOf(kid: string): Promise<KeyObject> {
    const known = privateKeys.get(kid)
    if (known) return known
    const key = await custody.privateKey(privateKeyName(kid), () => {
      throw new Fault('STORE_CORRUPT', `the private half of signing key ${kid} is gone`)
    })
    privateKeys.set(kid, key)
    return key
  }

  async function removeExpired(place: KeyPlace): Promise<void> {
    const now = clock.now()
    const expired = new Set(
      describe().flatMap(({ kid, removeAt }) => (removeAt !== undefined && removeAt <= now ? [kid] : [])),
    )
    if (expired.size === 0) return
    if (
      !(await replace(
        ring.filter(({ kid }) => !expired.has(kid)),
        place,
      ))
    )
      return
    for (const kid of expired) {
      await place.custody.remove(privateKeyName(kid))
      log.info('issuer.key.removed', { kid, signs })
    }
  }

  function nextPublicationAt(): EpochMs {
    return ring.at(-1)!.activeFrom + (rotateEverySeconds - publishAheadSeconds) * 1000
  }

  await reload()
  if (ring.length === 0) {
    await addKey(
      () => ring.length === 0,
      () => clock.now(),
      own,
    )
  }

  return {
    async active() {
      const { kid } = activeKey(ring, clock.now())!
      return { kid, privateKey: await privateKeyOf(kid) }
    },
    publicKey: (kid) => ring.find((key) => key.kid === kid)?.certificate.publicKey,
    published: () => describe().map(({ kid }) => ring.find((key) => key.kid === kid)!),
    keys: describe,
    async rotate() {
      await publishNext(own)
      const newest = ring.at(-1)!.kid
      return describe().find(({ kid }) => kid === newest)!
    },
    async follow({ signal }) {
      for await (const { all, events } of followEntries(store, ringKey, { signal })) {
        for (const event of events) {
          // Listed anew it may be an older one: a failover can have lost that which is known here.
          if (event.type === 'put' && (all || event.entry.modRevision > revision)) adopt(event.entry)
        }
      }
    },
    async keepSchedule({ signal, ...place }) {
      while (!signal.aborted) {
        await removeExpired(place)
        if (clock.now() >= nextPublicationAt()) await publishNext(place)
        const due = [nextPublicationAt(), ...describe().map(({ removeAt = Infinity }) => removeAt)]
        await clock.until(Math.min(...due, clock.now() + lookEveryMs), { signal }).catch(() => {})
      }
    },
  }
}
