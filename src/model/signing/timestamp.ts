import type { EpochMs } from '#base/clock'

let stampedSecond = -1
let stamp = ''

/** `at` as `YYYYMMDDTHHMMSSZ`; the last second asked for is remembered. */
export function amzDate(at: EpochMs): string {
  const second = Math.floor(at / 1000)
  if (second !== stampedSecond) {
    stamp = `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
    stampedSecond = second
  }
  return stamp
}
