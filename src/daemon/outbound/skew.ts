import type { Clock } from '#base/clock'
import type { HeaderField } from '#wire/http1'
import type { Conditions } from './conditions.ts'

/** How far the clocks of verified upstreams are from ours: a signature has to carry the time of its verifier. */
export interface Skews {
  /** Milliseconds to add to our clock for a signature that goes to `host`. */
  offsetMs(host: string): number
  /** Takes the headers of a response from `host`, whose certificate has been verified. */
  learn(host: string, headers: readonly HeaderField[]): void
}

/** Below this it may be the way that a response took, and verifiers forgive it (AWS: 5 minutes). */
const toleratedMs = 60_000
/**
 * SECURITY: an upstream that lies about the time obtains signatures of the near future for itself; beyond this it
 * obtains nothing. Clocks that are further apart want an operator.
 */
const boundMs = 15 * 60_000
/** Hosts remembered; beyond that the one learned first is forgotten and learned anew. */
const maxHosts = 256

interface Known {
  readonly date: string
  readonly offsetMs: number
}

/** Offsets count for the host that they were learned from only. */
export function openSkews({
  clock,
  conditions,
}: {
  clock: Clock
  conditions: Pick<Conditions, 'raise' | 'clear'>
}): Skews {
  const known = new Map<string, Known>()

  function report(): void {
    const [worst] = [...known].sort(([, one], [, other]) => Math.abs(other.offsetMs) - Math.abs(one.offsetMs))
    if (!worst || Math.abs(worst[1].offsetMs) <= toleratedMs) return conditions.clear('daemon', 'ClockInSync')
    const [host, { offsetMs }] = worst
    const minutes = Math.round(Math.abs(offsetMs) / 60_000)
    const apart = `the clock of this node is ${minutes} min ${offsetMs > 0 ? 'behind' : 'ahead of'} ${host}`
    const usable = Math.abs(offsetMs) <= boundMs
    conditions.raise(
      'daemon',
      'ClockInSync',
      usable ? 'ClockAdjusted' : 'ClockBeyondBound',
      usable
        ? `${apart}: signatures are dated for it; synchronise the clock (NTP)`
        : `${apart}, too far to sign for it: synchronise the clock (NTP)`,
    )
  }

  // Set, perhaps because of what is said here: what was learned before tells nothing of the clock as it is now.
  clock.onJump(() => {
    known.clear()
    report()
  })

  return {
    offsetMs(host) {
      const offsetMs = known.get(host)?.offsetMs ?? 0
      const magnitude = Math.abs(offsetMs)
      return magnitude > toleratedMs && magnitude <= boundMs ? offsetMs : 0
    },
    learn(host, headers) {
      let date: string | undefined
      for (const { name, value } of headers) {
        if (name === 'date') date = value
        else if (name === 'age') return // out of a cache: its date is of another time (RFC 9111 section 5.1)
      }
      const before = known.get(host)
      if (date === undefined || before?.date === date) return
      const at = Date.parse(date)
      if (Number.isNaN(at)) return
      known.set(host, { date, offsetMs: at - clock.now() })
      if (known.size > maxHosts) known.delete(known.keys().next().value!)
      const isFar = (entry: Known | undefined) => Math.abs(entry?.offsetMs ?? 0) > toleratedMs
      if (isFar(before) || isFar(known.get(host))) report()
    },
  }
}
