import type { Clock } from '#base/clock'
import type { Log } from '#base/log'

/** Something that keeps requests from being signed and that an operator can mend. */
export interface Condition {
  /** `kind/name` of the resource that it is about. */
  readonly subject: string
  readonly type:
    | 'UpstreamVerified'
    | 'UpstreamReachable'
    | 'InterceptTrusted'
    | 'ProtocolSupported'
    | 'InterceptReady'
    | 'AuditAvailable'
    | 'ClockInSync'
  /** `False` when the problem shows, `True` once it has gone. */
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}

/** What a condition is about. */
export type Problem = { readonly subject: string; readonly type: string }

/** Reports problems and their ends, and repeats itself from time to time: other workers may have said otherwise. */
export interface Conditions {
  raise(subject: string, type: Condition['type'], reason: string, message: string): void
  clear(subject: string, type: Condition['type']): void
  /** Somebody says that these are there: the next time that one is not, it is said at once. */
  doubt(problems: readonly Problem[]): void
}

/**
 * What was said last is not said again for this long. That all is well may be said for every request; that it is not
 * must not be missed where another worker has said otherwise meanwhile.
 */
const repeatMs = { well: 5_000, wrong: 250 }
/** Words remembered of each type; beyond that the oldest is forgotten, and may be repeated sooner. */
const maxSaid = 256

interface Said {
  /** Undefined: all is well. */
  readonly message: string | undefined
  readonly at: number
}

export function openConditions({
  clock,
  log,
  onCondition,
}: {
  clock: Clock
  log: Log
  onCondition: (condition: Condition) => void
}): Conditions {
  const words = new Map<Condition['type'], Map<string, Said>>()

  function saidOf(type: Condition['type']): Map<string, Said> {
    let said = words.get(type)
    if (!said) words.set(type, (said = new Map()))
    return said
  }

  /** Whether it is news, or old enough to be said again; remembers it then. */
  function isDue(said: Map<string, Said>, subject: string, message: string | undefined): boolean {
    const at = clock.monotonic()
    const last = said.get(subject)
    const sinceMs = at - (last?.at ?? -Infinity)
    if (last?.message === message && sinceMs < (message === undefined ? repeatMs.well : repeatMs.wrong))
      return false
    said.delete(subject)
    said.set(subject, { message, at })
    if (said.size > maxSaid) said.delete(said.keys().next().value!)
    return true
  }

  return {
    raise(subject, type, reason, message) {
      const said = saidOf(type)
      const isNews = said.get(subject)?.message !== message
      if (!isDue(said, subject, message)) return
      if (isNews) log.warn('outbound.condition', { subject, type, reason, message })
      onCondition({ subject, type, status: 'False', reason, message })
    },
    clear(subject, type) {
      if (!isDue(saidOf(type), subject, undefined)) return
      onCondition({ subject, type, status: 'True', reason: 'Recovered', message: '' })
    },
    doubt(problems) {
      for (const { subject, type } of problems) {
        const said = words.get(type as Condition['type'])
        if (said?.get(subject)?.message === undefined) said?.delete(subject)
      }
    },
  }
}
