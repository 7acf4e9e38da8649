import type { EpochMs } from '#base/clock'
import type { PlannedBinding, PlannedIdentity, WorkloadPlan } from './plan.ts'
import type { Replanned } from './planner.ts'

/** A new binding and its credential are one update to daemons when the exchange takes no longer than this. */
const exchangeMs = 500

interface Wait {
  readonly keys: ReadonlySet<string>
  readonly identities: readonly PlannedIdentity[]
  /** Undefined until somebody asks what has waited for long enough. */
  until: EpochMs | undefined
}

/**
 * Workloads of which nothing is new but bindings that have no credential yet: telling a thousand daemons of these, and
 * of the credentials a moment later, would cost twice as much. Until then such a binding is like one that has not been
 * applied; what withdraws or changes anything never waits.
 */
export interface Waits {
  /** Takes in what became of a workload; false when daemons have to be told now. */
  note(replanned: Replanned): boolean
  /** Ends the waits for a credential. */
  release(key: string): void
  /** Ends those that take too long, and those for a credential that was there already. */
  releaseDue(at: EpochMs, isThere: (key: string) => boolean): void
  /** When the next has waited for long enough. */
  nextEnd(): EpochMs
}

/** The bindings that a workload has in addition, unless anything else of it that daemons know has changed. */
function onlyAdded(before: WorkloadPlan, after: WorkloadPlan): readonly PlannedBinding[] | undefined {
  const isSame =
    before.identities.length === after.identities.length &&
    before.identities.every((identity, index) => identity === after.identities[index]) &&
    before.bindings.every((binding) => after.bindings.includes(binding))
  return isSame ? after.bindings.filter((binding) => !before.bindings.includes(binding)) : undefined
}

/** `onOver` is told which workload waits no more, and its identities. */
export function openWaits(
  onOver: (workloadId: string, identities: readonly PlannedIdentity[]) => void,
): Waits {
  /** By workload ID. */
  const waits = new Map<string, Wait>()

  function end(isOver: (wait: Wait) => boolean): void {
    for (const [workloadId, wait] of waits) {
      if (!isOver(wait)) continue
      waits.delete(workloadId)
      onOver(workloadId, wait.identities)
    }
  }

  return {
    note({ workloadId, before, after }) {
      const added = onlyAdded(before, after)
      const known = waits.get(workloadId)
      if (!added) waits.delete(workloadId)
      if (!added || added.length === 0) return added !== undefined
      const keys = new Set([...(known?.keys ?? []), ...added.map(({ key }) => key)])
      waits.set(workloadId, { keys, identities: after.identities, until: known?.until })
      return true
    },
    release: (key) => end(({ keys }) => keys.has(key)),
    releaseDue: (at, isThere) =>
      end((wait) => {
        wait.until ??= at + exchangeMs
        // A clock that was set back keeps nobody waiting.
        return wait.until <= at || wait.until > at + exchangeMs || wait.keys.values().some(isThere)
      }),
    nextEnd: () => waits.values().reduce((least, { until = 0 }) => Math.min(least, until), Infinity),
  }
}
