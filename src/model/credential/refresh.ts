import type { EpochMs } from '#base/clock'

const minute = 60_000

/**
 * When to renew: 20 % of the life before expiry, clamped to 1-5 minutes, less up to 10 % jitter so that many
 * credentials issued together do not return together. Life of two minutes or less: at half of it.
 */
export function refreshAt(
  { issuedAt, expiresAt }: { issuedAt: EpochMs; expiresAt: EpochMs },
  random: () => number,
): EpochMs {
  const life = expiresAt - issuedAt
  if (life <= 2 * minute) return issuedAt + life / 2
  const lead = Math.min(5 * minute, Math.max(minute, life * 0.2))
  return expiresAt - lead * (1 + 0.1 * random())
}
