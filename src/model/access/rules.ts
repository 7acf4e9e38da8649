import { isPathRequest, resourceName, type AccessRequest } from './attributes.ts'

/** What a role allows (rbac.authorization.k8s.io/v1 PolicyRule). A rule is about resources or about paths. */
export interface PolicyRule {
  readonly verbs: readonly string[]
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
}

/** Whether a list of a rule has an item. */
type Has = (item: string) => boolean

const matches = (has: Has, wanted: string) => has('*') || has(wanted)

/** `a/b`, or `*` and `b` for the subresource b of everything. */
function resourceMatches(has: Has, wanted: string): boolean {
  const slash = wanted.indexOf('/')
  return matches(has, wanted) || (slash !== -1 && has(`*${wanted.slice(slash)}`))
}

function pathMatches(allowed: readonly string[] = [], wanted: string): boolean {
  return allowed.some(
    (path) => path === wanted || (path.endsWith('*') && wanted.startsWith(path.replace(/\*+$/, ''))),
  )
}

/** Whether one rule allows a request (Kubernetes' RuleAllows). */
export function ruleAllows(rule: PolicyRule, request: AccessRequest): boolean {
  const among =
    (list: readonly string[] = []): Has =>
    (item) =>
      list.includes(item)
  if (!matches(among(rule.verbs), request.verb)) return false
  if (isPathRequest(request)) return pathMatches(rule.nonResourceURLs, request.path)
  const names = rule.resourceNames ?? []
  return (
    matches(among(rule.apiGroups), request.group) &&
    resourceMatches(among(rule.resources), resourceName(request)) &&
    (names.length === 0 || names.includes(request.name))
  )
}

/** Rules that each allow one thing, all together what `rule` allows. */
function breakDown(rule: PolicyRule): PolicyRule[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule
  const names = resourceNames.length === 0 ? [undefined] : resourceNames
  const onResources = apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      verbs.flatMap((verb) =>
        names.map((name) => ({
          verbs: [verb],
          apiGroups: [group],
          resources: [resource],
          ...(name !== undefined && { resourceNames: [name] }),
        })),
      ),
    ),
  )
  const onPaths = nonResourceURLs.flatMap((path) =>
    verbs.map((verb) => ({ verbs: [verb], nonResourceURLs: [path] })),
  )
  return [...onResources, ...onPaths]
}

/** Whether one rule allows all that a broken down rule does; `*` is covered by `*` alone. For many questions. */
function coverageBy(owner: PolicyRule): (wanted: PolicyRule) => boolean {
  const among = (list?: readonly string[]): Has => {
    const items = new Set(list)
    return (item) => items.has(item)
  }
  const hasVerb = among(owner.verbs)
  const hasGroup = among(owner.apiGroups)
  const hasResource = among(owner.resources)
  const ownNames = new Set(owner.resourceNames)
  return ({
    verbs,
    apiGroups = [],
    resources = [],
    resourceNames: names = [],
    nonResourceURLs: paths = [],
  }) =>
    verbs.every((verb) => matches(hasVerb, verb)) &&
    apiGroups.every((group) => matches(hasGroup, group)) &&
    resources.every((resource) => resourceMatches(hasResource, resource)) &&
    paths.every((path) => pathMatches(owner.nonResourceURLs, path)) &&
    (ownNames.size === 0 || (names.length > 0 && names.every((name) => ownNames.has(name))))
}

/** How many rules `breakDown` makes of one. */
function parts({
  verbs,
  apiGroups = [],
  resources = [],
  resourceNames = [],
  nonResourceURLs = [],
}: PolicyRule) {
  const onResources = apiGroups.length * resources.length * Math.max(1, resourceNames.length)
  return verbs.length * (onResources + nonResourceURLs.length)
}

/** Single permissions that are compared at most. */
export const maxCompared = 10_000

/**
 * What `wanted` allows and `owned` does not (Kubernetes' Covers), in rules that each allow one thing; undefined when
 * these would be more than `maxCompared`.
 * SECURITY: the lists of a rule multiply: one of two kilobytes would take minutes, and all memory.
 */
export function uncoveredRules(
  owned: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): PolicyRule[] | undefined {
  const covering = owned.map(coverageBy)
  const isCovered = (rule: PolicyRule) => covering.some((covers) => covers(rule))
  // However large: what one rule holds as it stands need not be taken apart.
  const rest = wanted.filter((rule) => !isCovered(rule))
  if (rest.reduce((sum, rule) => sum + parts(rule), 0) > maxCompared) return undefined
  return rest.flatMap(breakDown).filter((rule) => !isCovered(rule))
}

/** `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`, as Kubernetes writes a rule in one line. */
export function formatRule(rule: PolicyRule): string {
  const fields = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ] as const
  const present = fields.filter(([, values]) => values !== undefined && values.length > 0)
  return `{${present.map(([name, values]) => `${name}:${JSON.stringify(values)}`).join(', ')}}`
}
