import type { ReportedCondition } from '#daemon/sync'
import type { Scope } from '#model/scope'

/** What is wrong with resources of the scope, as this daemon sees it: the newest word on each. */
export interface ConditionBoard {
  /** `True` means that it is over, whoever had said so. */
  set(reporter: string, condition: ReportedCondition): void
  /** Replaces all that a reporter has said: by nothing, when it has ended and cannot take it back. */
  replace(reporter: string, conditions: readonly ReportedCondition[]): void
  /** One for each type and subject. */
  all(): readonly ReportedCondition[]
}

// The server takes a thousand; beyond this the oldest of a reporter goes.
const maxConditions = 500

const keyOf = ({ type, subject }: ReportedCondition) => `${type} ${subject}`

export function openConditionBoard(): ConditionBoard {
  const reporters = new Map<string, Map<string, ReportedCondition>>()
  return {
    set(reporter, condition) {
      const said = reporters.get(reporter) ?? new Map<string, ReportedCondition>()
      reporters.set(reporter, said)
      for (const other of reporters.values()) other.delete(keyOf(condition))
      if (condition.status === 'True') return
      said.set(keyOf(condition), condition)
      const oldest = said.keys().next().value
      if (said.size > maxConditions && oldest !== undefined) said.delete(oldest)
    },
    replace(reporter, conditions) {
      reporters.set(reporter, new Map(conditions.map((condition) => [keyOf(condition), condition])))
    },
    all: () => [...new Map([...reporters.values()].flatMap((said) => [...said])).values()],
  }
}

/** What is wrong with that on which the requests of an identity depend: itself, its bindings and Services, this daemon. */
export function conditionsFor(
  name: string,
  { identities, bindings }: Scope,
  conditions: readonly ReportedCondition[],
): readonly ReportedCondition[] {
  const spiffeId = identities.get(name)?.spiffeId
  const bound = [...bindings.values()]
    .filter((binding) => binding.spiffeId === spiffeId)
    .flatMap((binding) => [
      `credentialbinding/${binding.name}`,
      ...binding.serviceNames.map((service) => `service/${service}`),
    ])
  const subjects = new Set(['daemon', `workloadidentity/${name}`, ...bound])
  return conditions.filter(({ subject }) => subjects.has(subject))
}
