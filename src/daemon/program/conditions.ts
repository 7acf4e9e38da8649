import type { ReportedCondition } from '#daemon/sync'

/** What is wrong with resources of the scope, as this daemon sees it: the newest word on each. */
export interface ConditionBoard {
  set(condition: ReportedCondition): void
  /** Replaces all conditions of one type. */
  replace(type: string, conditions: readonly ReportedCondition[]): void
  all(): readonly ReportedCondition[]
}

// The server takes a thousand; beyond this the oldest goes.
const maxConditions = 500

export function openConditionBoard(): ConditionBoard {
  const conditions = new Map<string, ReportedCondition>()
  const keyOf = ({ type, subject }: ReportedCondition) => `${type} ${subject}`
  const set = (condition: ReportedCondition) => {
    const key = keyOf(condition)
    conditions.delete(key)
    conditions.set(key, condition)
    const oldest = conditions.keys().next().value
    if (conditions.size > maxConditions && oldest !== undefined) conditions.delete(oldest)
  }
  return {
    set,
    replace(type, next) {
      for (const [key, condition] of conditions) if (condition.type === type) conditions.delete(key)
      for (const condition of next) set(condition)
    },
    all: () => [...conditions.values()],
  }
}
