import type { PolicyRule } from './rules.ts'

/** Kubernetes' LabelSelector: all of it must hold. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    readonly values?: readonly string[]
  }[]
}

export interface LabelledRole {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly rules: readonly PolicyRule[]
}

function selects(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  { labels }: LabelledRole,
): boolean {
  const valueOf = (key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined)
  return (
    Object.entries(matchLabels).every(([key, value]) => valueOf(key) === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = valueOf(key)
      if (operator === 'Exists' || operator === 'DoesNotExist')
        return (value !== undefined) === (operator === 'Exists')
      return (value !== undefined && values.includes(value)) === (operator === 'In')
    })
  )
}

/** The rules of a role that gathers those of the others that any of the selectors means: each once, in order of names. */
export function aggregatedRules(
  selectors: readonly LabelSelector[],
  others: readonly LabelledRole[],
): readonly PolicyRule[] {
  const meant = others
    .filter((role) => selectors.some((selector) => selects(selector, role)))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const rules = meant.flatMap((role) => role.rules)
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()]
}
