import type { EpochMs } from '#base/clock'

/** The time between two instants as kubectl shows ages: `45s`, `12m`, `3h5m`, `2d4h`, `40d`. */
export function formatAge(from: EpochMs, to: EpochMs): string {
  const seconds = Math.max(0, Math.floor((to - from) / 1000))
  if (Number.isNaN(seconds)) return '<unknown>'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 && hours < 10 ? `${hours}h${minutes % 60}m` : `${hours}h`
  const days = Math.floor(hours / 24)
  return hours % 24 && days < 10 ? `${days}d${hours % 24}h` : `${days}d`
}

/** When an instant is, seen from `now`: `5m` ago, or `in 5m`. */
export function formatInstant(at: EpochMs, now: EpochMs): string {
  return at > now ? `in ${formatAge(now, at)}` : formatAge(at, now)
}
