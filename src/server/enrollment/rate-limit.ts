import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'

/** Token buckets, one a key. */
export interface RateLimit {
  /** @throws Fault RATE_LIMITED when the bucket of `key` is empty */
  check(key: string): void
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
    check(key) {
      if (level(key) < 1) throw new Fault('RATE_LIMITED', `too many requests of ${key}`)
    },
    spend(key) {
      const tokens = Math.max(0, level(key) - 1)
      buckets.delete(key)
      buckets.set(key, { tokens, at: clock.monotonic() })
      if (buckets.size > maxKeys) buckets.delete(buckets.keys().next().value!)
    },
  }
}
