import { matchesGlob } from './glob.ts'
import {
  conditionsHold,
  isKnownOperator,
  type ConditionBlock,
  type ConditionContext,
} from './policy-conditions.ts'

/** A policy document after parsing: every "string or list" is a list. */
export interface Policy {
  readonly statements: readonly Statement[]
}

interface Statement {
  readonly effect: 'Allow' | 'Deny'
  readonly actions: Choice
  /** Absent in trust policies. */
  readonly resources: Choice | undefined
  /** Trust policies only: principal type (`AWS`, `Federated`, ...) -> names. */
  readonly principals: Readonly<Record<string, readonly string[]>> | undefined
  readonly conditions: ConditionBlock
}

/** Matches one of the patterns, or (`NotAction`, `NotResource`) none of them. */
interface Choice {
  readonly negated: boolean
  readonly patterns: readonly string[]
}

export interface PolicyRequest {
  /** Such as `s3:GetObject`. */
  readonly action: string
  /** ARN, or `*` where the action has no resource. */
  readonly resource: string
  readonly context: ConditionContext
  /** Who asks, for trust policies: the type and all names under which a statement may know it. */
  readonly principal?: { readonly type: string; readonly names: readonly string[] }
}

export type PolicyDecision = 'allow' | 'explicit-deny' | 'implicit-deny'

/** Evaluates one set of policies: a Deny wins, nothing said means no (IAM, "Policy evaluation logic"). */
export function evaluate(policies: readonly Policy[], request: PolicyRequest): PolicyDecision {
  const matching = policies
    .flatMap(({ statements }) => statements)
    .filter((statement) => applies(statement, request))
  if (matching.some(({ effect }) => effect === 'Deny')) return 'explicit-deny'
  return matching.length > 0 ? 'allow' : 'implicit-deny'
}

function applies(statement: Statement, { action, resource, context, principal }: PolicyRequest): boolean {
  const { actions, resources, principals, conditions } = statement
  const action_ = action.toLowerCase()
  if (!chosen(actions, (pattern) => matchesGlob(pattern.toLowerCase(), action_))) return false
  if (resources && !chosen(resources, (pattern) => matchesGlob(substitute(pattern, context), resource))) {
    return false
  }
  if (principals) {
    const names = (principal && principals[principal.type]) ?? []
    if (!names.some((name) => name === '*' || principal?.names.includes(name))) return false
  }
  return conditionsHold(conditions, context)
}

function chosen({ negated, patterns }: Choice, matches: (pattern: string) => boolean): boolean {
  return patterns.some(matches) !== negated
}

/** Policy variables such as `${aws:username}`; one that has no value matches nothing. */
function substitute(pattern: string, context: ConditionContext): string {
  return pattern.replaceAll(/\$\{([^}]*)\}/g, (whole, key: string) => {
    if (key === '*' || key === '?' || key === '$') return key
    return context.get(key.toLowerCase())?.[0] ?? whole
  })
}

/** Says what is wrong with a policy document; IAM answers MalformedPolicyDocument. */
export class PolicyError extends Error {}

/**
 * Parses an identity policy (`Resource`, no `Principal`) or a trust policy (`Principal`, no `Resource`).
 * @throws PolicyError
 */
export function parsePolicy(text: string, kind: 'identity' | 'trust'): Policy {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw new PolicyError('This policy contains invalid Json')
  }
  const { Version: version, Statement: statement, ...others } = objectOf(document, 'policy')
  if (version !== undefined && version !== '2012-10-17' && version !== '2008-10-17') {
    throw new PolicyError('The policy must contain a valid version string')
  }
  refuseOthers(others, ['Id'])
  const list = Array.isArray(statement) ? statement : [statement]
  return { statements: list.map((each) => parseStatement(objectOf(each, 'Statement'), kind)) }
}

function parseStatement(fields: Record<string, unknown>, kind: 'identity' | 'trust'): Statement {
  const { Sid: _sid, Effect: effect, Principal: principal, Condition: condition = {}, ...rest } = fields
  const { Action: _a, NotAction: _na, Resource: _r, NotResource: _nr, ...others } = rest
  refuseOthers(others, [])
  if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyError('Effect must be Allow or Deny')
  const resources = choiceOf(rest, 'Resource')
  if (kind === 'identity' && (!resources || principal !== undefined)) {
    throw new PolicyError('Policy statement must contain resources.')
  }
  if (kind === 'trust' && (resources || principal === undefined)) {
    throw new PolicyError('A trust policy needs a Principal and has no Resource.')
  }
  const actions = choiceOf(rest, 'Action')
  if (!actions) throw new PolicyError('Policy statement must contain actions.')
  return {
    effect,
    actions,
    resources,
    principals: principal === undefined ? undefined : parsePrincipals(principal),
    conditions: parseConditions(objectOf(condition, 'Condition')),
  }
}

function choiceOf(fields: Record<string, unknown>, name: 'Action' | 'Resource'): Choice | undefined {
  const plain = fields[name]
  const negated = fields[`Not${name}`]
  if (plain !== undefined && negated !== undefined) throw new PolicyError(`${name} and Not${name} together`)
  if (plain !== undefined) return { negated: false, patterns: textsOf(plain, name) }
  if (negated !== undefined) return { negated: true, patterns: textsOf(negated, `Not${name}`) }
  return undefined
}

function parsePrincipals(principal: unknown): Record<string, readonly string[]> {
  if (principal === '*') return { AWS: ['*'], Federated: ['*'] }
  return mapValues(objectOf(principal, 'Principal'), (names, type) => textsOf(names, type))
}

function parseConditions(block: Record<string, unknown>): ConditionBlock {
  return mapValues(block, (keys, operator) => {
    if (!isKnownOperator(operator)) throw new PolicyError(`Unknown condition operator ${operator}`)
    return mapValues(objectOf(keys, operator), (values, key) => textsOf(values, key))
  })
}

function mapValues<T>(
  object: Record<string, unknown>,
  map: (value: unknown, key: string) => T,
): Record<string, T> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]))
}

function textsOf(value: unknown, name: string): readonly string[] {
  return (Array.isArray(value) ? value : [value]).map((each: unknown) => {
    if (typeof each === 'boolean' || typeof each === 'number') return String(each)
    if (typeof each !== 'string') throw new PolicyError(`${name} must be a string or a list of strings`)
    return each
  })
}

function objectOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PolicyError(`${name} must be an object`)
  }
  return value as Record<string, unknown>
}

function refuseOthers(others: Record<string, unknown>, known: readonly string[]): void {
  const unknown = Object.keys(others).find((name) => !known.includes(name))
  if (unknown !== undefined) throw new PolicyError(`Syntax errors in policy: unknown element ${unknown}`)
}
