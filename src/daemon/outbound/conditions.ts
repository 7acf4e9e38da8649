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

/** Reports each problem once, until its message changes or it goes away. */
export interface Conditions {
  raise(subject: string, type: Condition['type'], reason: string, message: string): void
  clear(subject: string, type: Condition['type']): void
}

/** Problems remembered; beyond that the oldest is forgotten, and would be reported again. */
const maxRaised = 256

export function openConditions({
  log,
  onCondition,
}: {
  log: Log
  onCondition: (condition: Condition) => void
}): Conditions {
  const raised = new Map<string, string>()
  return {
    raise(subject, type, reason, message) {
      const key = `${type} ${subject}`
      if (raised.get(key) === message) return
      raised.delete(key)
      raised.set(key, message)
      if (raised.size > maxRaised) raised.delete(raised.keys().next().value!)
      log.warn('outbound.condition', { subject, type, reason, message })
      onCondition({ subject, type, status: 'False', reason, message })
    },
    clear(subject, type) {
      if (raised.size === 0 || !raised.delete(`${type} ${subject}`)) return
      onCondition({ subject, type, status: 'True', reason: 'Recovered', message: '' })
    },
  }
}
