import type { ReportedCondition } from '#daemon/sync'
import type { Scope } from '#model/scope'

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

/** What is wrong with that on which the requests of an identity depend: itself, its Services, this daemon. */
export function conditionsFor(
  name: string,
  { identities, bindings }: Scope,
  conditions: readonly ReportedCondition[],
): readonly ReportedCondition[] {
  const spiffeId = identities.get(name)?.spiffeId
  const services = [...bindings.values()]
    .filter((binding) => binding.spiffeId === spiffeId)
    .flatMap(({ serviceNames }) => serviceNames.map((service) => `service/${service}`))
  const subjects = new Set(['daemon', `workloadidentity/${name}`, ...services])
  // What has recovered has nothing to say.
  return conditions.filter(({ subject, message }) => subjects.has(subject) && message !== '')
}
