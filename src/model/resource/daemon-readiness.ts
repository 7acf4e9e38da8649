import type { EpochMs } from '#base/clock'
import type { Daemon } from './daemon.ts'
import type { Judgement } from './judged-status.ts'
import { withCondition, withoutCondition } from './status.ts'

type DaemonStatus = NonNullable<Daemon['status']>

const reasons = {
  OK: 'Connected',
  FAILED: 'Unhealthy',
  PENDING: 'Disconnected',
  DISCONNECTED: 'Disconnected',
}

/** `Ready` of a Daemon: it follows from its state alone, so that whoever writes the one writes the other. */
export function readinessOf({
  state = 'PENDING',
  message = '',
}: Pick<DaemonStatus, 'state' | 'message'>): Judgement {
  return { type: 'Ready', status: state === 'OK' ? 'True' : 'False', reason: reasons[state], message }
}

/** The status of a Daemon with the conditions that follow from its state; what is said besides stays. */
export function withReadiness(status: DaemonStatus, at: EpochMs): DaemonStatus {
  const { observedGeneration } = status
  const seen = observedGeneration !== undefined && { observedGeneration }
  const ready = { ...readinessOf(status), ...seen }
  const conditions = withCondition(status.conditions, ready, at)
  const stalled = { ...ready, type: 'Stalled', status: 'True' } as const
  return {
    ...status,
    conditions:
      status.state === 'FAILED'
        ? withCondition(conditions, stalled, at)
        : withoutCondition(conditions, 'Stalled'),
  }
}
