import type { Clock } from '#base/clock'
import type { Log, LogFields } from './log.ts'

/** Of each event and level in each period; what is more is counted, and the number said with the next line. */
const maxLines = 10
const periodMs = 60_000

/**
 * A log in which nobody who makes an event happen again and again, as any user can with connections that fail, fills
 * the disk. `info` and `debug` pass unpaced: nobody else decides about the one, and whoever asks for the other wants it.
 */
export function pacedLog(log: Log, clock: Pick<Clock, 'monotonic'>): Log {
  const periods = new Map<string, { endsAt: number; lines: number; unsaid: number }>()
  const pace = (level: 'warn' | 'error') => (event: string, fields?: LogFields) => {
    const key = `${level} ${event}`
    const now = clock.monotonic()
    let period = periods.get(key)
    let unsaid = 0
    if (!period || now >= period.endsAt) {
      unsaid = period?.unsaid ?? 0
      period = { endsAt: now + periodMs, lines: 0, unsaid: 0 }
      periods.set(key, period)
    }
    if (period.lines++ >= maxLines) period.unsaid++
    else log[level](event, unsaid === 0 ? fields : { ...fields, unsaid })
  }
  return {
    ...log,
    warn: pace('warn'),
    error: pace('error'),
    with: (fields) => pacedLog(log.with(fields), clock),
  }
}
