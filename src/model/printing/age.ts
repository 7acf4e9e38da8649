import type { EpochMs } from '#base/clock'

/** The time between two instants as kubectl shows ages (`HumanDuration`): `45s`, `3m5s`, `40m`, `5h10m`, `2d4h`, `40d`, `3y`. */
export function formatAge(from: EpochMs, to: EpochMs): string {
  const seconds = Math.max(0, Math.floor((to - from) / 1000))
  if (Number.isNaN(seconds)) return '<unknown>'
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ]
  const plus = (whole: string, rest: number, unit: string) => (rest === 0 ? whole : `${whole}${rest}${unit}`)
  if (seconds < 120) return `${seconds}s`
  if (minutes < 10) return plus(`${minutes}m`, seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  if (hours < 8) return plus(`${hours}h`, minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  if (days < 8) return plus(`${days}d`, hours % 24, 'h')
  if (days < 730) return `${days}d`
  const years = Math.floor(days / 365)
  return years < 8 ? plus(`${years}y`, days % 365, 'd') : `${years}y`
}

/** When an instant is, seen from `now`: `5m` ago, or `in 5m`. */
export function formatInstant(at: EpochMs, now: EpochMs): string {
  return at > now ? `in ${formatAge(now, at)}` : formatAge(at, now)
}
