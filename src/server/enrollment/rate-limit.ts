import type { Clock } from '#base/clock'

/** Token buckets, one a key. */
export interface RateLimit {
  /** Whether the bucket of `key` has a token. */
  allows(key: string): boolean
  /** Takes a token, if there is one. */
  spend(key: string): void
}

/** At most `maxKeys` buckets are kept; the one unused for longest is forgotten, and with it what it had spent. */
export function openRateLimit({
  clock,
  perMinute,
  burst,
  maxKeys = 10_000,
}: {
  clock: Clock
  perMinute: number
  burst: number
  maxKeys?: number
}): RateLimit {
  const buckets = new Map<string, { tokens: number; at: number }>()
  function level(key: string): number {
    const { tokens, at } = buckets.get(key) ?? { tokens: burst, at: 0 }
    return Math.min(burst, tokens + ((clock.monotonic() - at) / 60_000) * perMinute)
  }
  return {
    allows: (key) => level(key) >= 1,
    spend(key) {
      const tokens = Math.max(0, level(key) - 1)
      buckets.delete(key)
      buckets.set(key, { tokens, at: clock.monotonic() })
      if (buckets.size > maxKeys) buckets.delete(buckets.keys().next().value!)
    },
  }
}
