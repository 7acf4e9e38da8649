import { X509Certificate } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { IssuerKeyInfo } from './ports.ts'

/** One signing key, without its private half. */
export interface RingKey {
  readonly kid: string
  readonly createdAt: EpochMs
  /** When it starts to sign; it stops when the next key starts. */
  readonly activeFrom: EpochMs
  readonly certificate: X509Certificate
}

/** Keys by the time they start to sign. State is never stored: it follows from the times, alike for every reader. */
export type KeyRing = readonly RingKey[]

/** The key that signs at `at`: the last one to have started, or the first where the clock was set back. */
export function activeKey(ring: KeyRing, at: EpochMs): RingKey | undefined {
  return ring.findLast(({ activeFrom }) => activeFrom <= at) ?? ring[0]
}

/** The key that is published and waits for its time. */
export function pendingKey(ring: KeyRing, at: EpochMs): RingKey | undefined {
  const active = activeKey(ring, at)
  return ring.find((key) => key !== active && key.activeFrom > at)
}

/** What each key does at `at`, the active one first: some verifiers read no further (research: Ceph). */
export function describeRing(
  ring: KeyRing,
  at: EpochMs,
  maxTokenTtlSeconds: number,
  signs: IssuerKeyInfo['signs'],
): readonly IssuerKeyInfo[] {
  const active = activeKey(ring, at)
  const infos = ring.map((key, index): IssuerKeyInfo => {
    const { kid, createdAt, activeFrom } = key
    const common = { kid, signs, createdAt }
    if (key === active) return { ...common, state: 'active', since: activeFrom }
    if (activeFrom > at) return { ...common, state: 'published', since: activeFrom }
    const since = ring[index + 1]!.activeFrom
    return { ...common, state: 'retiring', since, removeAt: since + maxTokenTtlSeconds * 1000 }
  })
  const rank = { active: 0, published: 1, retiring: 2 }
  return infos.sort((a, b) => rank[a.state] - rank[b.state])
}

/** The ring with `key` in its place. */
export function withKey(ring: KeyRing, key: RingKey): KeyRing {
  return [...ring, key].sort((a, b) => a.activeFrom - b.activeFrom)
}

export function encodeRing(ring: KeyRing): Uint8Array {
  const keys = ring.map((key) => ({ ...key, certificate: key.certificate.raw.toString('base64') }))
  return Buffer.from(JSON.stringify({ keys }))
}

/** @throws Fault STORE_CORRUPT */
export function decodeRing(value: Uint8Array): KeyRing {
  try {
    const { keys } = JSON.parse(Buffer.from(value).toString()) as {
      keys: (Omit<RingKey, 'certificate'> & { certificate: string })[]
    }
    return keys.map((key) => ({
      ...key,
      certificate: new X509Certificate(Buffer.from(key.certificate, 'base64')),
    }))
  } catch (error) {
    throw new Fault('STORE_CORRUPT', 'the list of issuer keys cannot be read', { cause: error })
  }
}
