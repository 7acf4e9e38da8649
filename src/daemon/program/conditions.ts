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

// Beyond this the oldest of a reporter goes.
const maxConditions = 500
/**
 * What the server takes of them all, and of a message. SECURITY: identities name what they like, and a report of more
 * than 4 MiB would end the stream of all.
 */
const maxReported = 1_000
const maxMessageLength = 1_024

const shortened = ({ message, ...rest }: ReportedCondition): ReportedCondition => ({
  ...rest,
  message: message.slice(0, maxMessageLength),
})

const keyOf = ({ type, subject }: ReportedCondition) => `${type} ${subject}`

export function openConditionBoard(): ConditionBoard {
  const reporters = new Map<string, Map<string, ReportedCondition>>()
  return {
    set(reporter, condition) {
      const said = reporters.get(reporter) ?? new Map<string, ReportedCondition>()
      reporters.set(reporter, said)
      for (const other of reporters.values()) other.delete(keyOf(condition))
      if (condition.status === 'True') return
      said.set(keyOf(condition), shortened(condition))
      const oldest = said.keys().next().value
      if (said.size > maxConditions && oldest !== undefined) said.delete(oldest)
    },
    replace(reporter, conditions) {
      const said = conditions.slice(0, maxConditions)
      reporters.set(reporter, new Map(said.map((condition) => [keyOf(condition), shortened(condition)])))
    },
    all() {
      const found = new Map([...reporters.values()].flatMap((said) => [...said]))
      return [...found.values().take(maxReported)]
    },
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
