import type { EpochMs } from '#base/clock'

const minute = 60_000

interface Lifetime {
  readonly issuedAt: EpochMs
  readonly expiresAt: EpochMs
}

/** How long before its end to renew: 20 % of the life, clamped to 1-5 minutes; half of a life of two minutes or less. */
function leadOf({ issuedAt, expiresAt }: Lifetime): number {
  const life = expiresAt - issuedAt
  return life <= 2 * minute ? life / 2 : Math.min(5 * minute, Math.max(minute, life * 0.2))
}

/** When to renew: up to 10 % sooner, so that many credentials issued together do not return together. */
export function refreshAt(lifetime: Lifetime, random: () => number): EpochMs {
  return lifetime.expiresAt - leadOf(lifetime) * (1 + 0.1 * random())
}

/** From when on a credential that is still in use was not renewed in time: half of what renewal had has passed. */
export function overdueAt(lifetime: Lifetime): EpochMs {
  return lifetime.expiresAt - leadOf(lifetime) / 2
}
