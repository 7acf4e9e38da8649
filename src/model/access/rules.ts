import { isPathRequest, resourceName, type AccessRequest } from './attributes.ts'

/** What a role allows (rbac.authorization.k8s.io/v1 PolicyRule). A rule is about resources or about paths. */
export interface PolicyRule {
  readonly verbs: readonly string[]
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
}

const matches = (allowed: readonly string[] = [], wanted: string) =>
  allowed.includes('*') || allowed.includes(wanted)

/** `a/b`, or `*` and `b` for the subresource b of everything. */
function resourceMatches(allowed: readonly string[] = [], wanted: string): boolean {
  const slash = wanted.indexOf('/')
  return matches(allowed, wanted) || (slash !== -1 && allowed.includes(`*${wanted.slice(slash)}`))
}

function pathMatches(allowed: readonly string[] = [], wanted: string): boolean {
  return allowed.some(
    (path) => path === wanted || (path.endsWith('*') && wanted.startsWith(path.replace(/\*+$/, ''))),
  )
}

/** Whether one rule allows a request (Kubernetes' RuleAllows). */
export function ruleAllows(rule: PolicyRule, request: AccessRequest): boolean {
  if (!matches(rule.verbs, request.verb)) return false
  if (isPathRequest(request)) return pathMatches(rule.nonResourceURLs, request.path)
  const names = rule.resourceNames ?? []
  return (
    matches(rule.apiGroups, request.group) &&
    resourceMatches(rule.resources, resourceName(request)) &&
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

/** Whether one rule allows all that a broken down rule does; `*` is covered by `*` alone. */
function ruleCovers(owner: PolicyRule, wanted: PolicyRule): boolean {
  const covers = (
    matches: typeof pathMatches,
    field: 'verbs' | 'apiGroups' | 'resources' | 'nonResourceURLs',
  ) => (wanted[field] ?? []).every((item) => matches(owner[field], item))
  const ownNames = owner.resourceNames ?? []
  const names = wanted.resourceNames ?? []
  return (
    covers(matches, 'verbs') &&
    covers(matches, 'apiGroups') &&
    covers(resourceMatches, 'resources') &&
    covers(pathMatches, 'nonResourceURLs') &&
    (ownNames.length === 0 || (names.length > 0 && names.every((name) => ownNames.includes(name))))
  )
}

/** What `wanted` allows and `owned` does not (Kubernetes' Covers), in rules that each allow one thing. */
export function uncoveredRules(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((rule) => !owned.some((owner) => ruleCovers(owner, rule)))
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
