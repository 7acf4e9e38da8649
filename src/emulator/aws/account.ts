import type { EpochMs } from '#base/clock'
import { AwsError } from './aws-error.ts'
import { managedPolicies } from './managed-policies.ts'
import { evaluate, parsePolicy, PolicyError, type Policy, type PolicyDecision } from './policy.ts'
import type { ConditionContext } from './policy-conditions.ts'
import type { Permission } from './call.ts'
import type { Principal } from './principal.ts'

/** A policy as it was written and as it is evaluated. */
export interface PolicyText {
  readonly text: string
  readonly policy: Policy
}

export interface OidcProvider {
  readonly arn: string
  /** Issuer URL without its scheme: what ARNs and condition keys use. */
  readonly host: string
  readonly createdAt: EpochMs
  clientIds: readonly string[]
  thumbprints: readonly string[]
}

export interface Role {
  readonly name: string
  readonly path: string
  readonly id: string
  readonly arn: string
  readonly createdAt: EpochMs
  readonly description: string | undefined
  trust: PolicyText
  maxSessionSeconds: number
  readonly inline: Map<string, PolicyText>
  /** ARNs. */
  readonly attached: Set<string>
}

export interface ManagedPolicy extends PolicyText {
  readonly name: string
  readonly path: string
  readonly id: string
  readonly arn: string
  readonly createdAt: EpochMs
}

/** What IAM holds for the one account that exists. In memory only; bounded like AWS's default quotas. */
export interface Account {
  readonly id: string
  /** By host and path of the issuer. */
  readonly providers: Map<string, OidcProvider>
  /** By name. */
  readonly roles: Map<string, Role>
  /** By ARN: the account's own and a few of AWS's. */
  readonly policies: Map<string, ManagedPolicy>
}

export const quotas = { providers: 100, roles: 1000, policies: 1500, attached: 20, inlineBytes: 10_240 }

export function openAccount(id: string): Account {
  const policies = managedPolicies.map((policy) => [policy.arn, policy] as const)
  return { id, providers: new Map(), roles: new Map(), policies: new Map(policies) }
}

/** @throws AwsError MalformedPolicyDocument */
export function readPolicy(text: string, kind: 'identity' | 'trust'): PolicyText {
  try {
    return { text, policy: parsePolicy(text, kind) }
  } catch (error) {
    if (error instanceof PolicyError) throw new AwsError(400, 'MalformedPolicyDocument', error.message)
    throw error
  }
}

/** The role of a session, as long as it is the one that the session was begun with. */
export function roleOf(account: Account, caller: Principal): Role | undefined {
  if (caller.kind !== 'assumed-role') return undefined
  const role = account.roles.get(caller.roleName)
  // SECURITY: a role deleted and created again under its name is another role; old sessions do not carry over.
  return role?.id === caller.roleId ? role : undefined
}

/**
 * Whether the principal's own policies allow the permission: root may do everything, a session what its role
 * allows (policies as they are now, not as they were when the session began) and its session policy leaves.
 */
export function decide(
  account: Account,
  caller: Principal,
  { action, resource }: Permission,
  context: ConditionContext,
): PolicyDecision {
  if (caller.kind === 'anonymous') return 'implicit-deny'
  if (caller.kind === 'root') return 'allow'
  const role = roleOf(account, caller)
  if (!role) return 'implicit-deny'
  const attached = [...role.attached].flatMap((arn) => account.policies.get(arn)?.policy ?? [])
  const inline = [...role.inline.values()].map(({ policy }) => policy)
  const request = { action, resource, context }
  const decision = evaluate([...attached, ...inline], request)
  if (decision !== 'allow' || !caller.sessionPolicy) return decision
  return evaluate([caller.sessionPolicy], request)
}
