import type { Clock } from '#base/clock'
import { decide, readPolicy, roleOf, type Account, type Role } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { Call, Operation, Service } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import type { OidcVerifier } from './oidc.ts'
import { evaluate, type PolicyRequest } from './policy.ts'
import type { Principal } from './principal.ts'
import { queryAnswer } from './query-answer.ts'
import { readParameters, validationError, type Parameters } from './query-parameters.ts'
import type { XmlValue } from './xml.ts'

/** The one call of STS that needs no signature: its token is the proof. */
export const unsignedAction = 'AssumeRoleWithWebIdentity'

const minSessionSeconds = 900
const defaultSessionSeconds = 3600
const sessionName = /^[\w+=,.@-]{2,64}$/

/** AWS STS: AssumeRoleWithWebIdentity, AssumeRole (same account), GetCallerIdentity. */
export function openSts(options: {
  account: Account
  keys: AccessKeys
  oidc: OidcVerifier
  clock: Clock
}): Service {
  const { account, keys, oidc, clock } = options

  async function assumeRoleWithWebIdentity(parameters: Parameters): Promise<XmlValue> {
    const roleArn = parameters.require('RoleArn', { max: 2048 })
    const session = parameters.require('RoleSessionName', { pattern: sessionName, max: 64 })
    const token = parameters.require('WebIdentityToken', { max: 20_000 })
    const requested = readDuration(parameters)
    const { provider, subject, audience, methods } = await oidc.verify(token, account.providers)
    const context = new Map<string, readonly string[]>([
      [`${provider.host}:aud`.toLowerCase(), [audience]],
      [`${provider.host}:sub`.toLowerCase(), [subject]],
      ['sts:rolesessionname', [session]],
    ])
    if (methods.length > 0) context.set(`${provider.host}:amr`.toLowerCase(), methods)
    const role = findRole(roleArn)
    const trusted =
      role && trusts(role, 'sts:AssumeRoleWithWebIdentity', 'Federated', [provider.arn], context)
    // SECURITY: as at AWS one text for "no such role" and "not for you", so that nobody can probe for roles.
    if (!role || trusted !== 'allow') {
      throw new AwsError(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
    }
    return {
      ...startSession(role, session, requested, parameters),
      SubjectFromWebIdentityToken: subject,
      Audience: audience,
      Provider: provider.arn,
    }
  }

  function assumeRole(parameters: Parameters, caller: Principal): XmlValue {
    const roleArn = parameters.require('RoleArn', { max: 2048 })
    const session = parameters.require('RoleSessionName', { pattern: sessionName, max: 64 })
    const requested = readDuration(parameters)
    const context = new Map([['sts:rolesessionname', [session]]])
    const role = findRole(roleArn)
    if (!role || caller.kind === 'anonymous' || !mayAssume(role, roleArn, caller, context)) {
      const who = caller.kind === 'anonymous' ? 'anonymous' : caller.arn
      throw new AwsError(
        403,
        'AccessDenied',
        `User: ${who} is not authorized to perform: sts:AssumeRole on resource: ${roleArn}`,
      )
    }
    return startSession(role, session, requested, parameters)
  }

  /** A trust policy that names the caller suffices; one that names the account leaves it to the caller's policies. */
  function mayAssume(
    role: Role,
    roleArn: string,
    caller: Exclude<Principal, { kind: 'anonymous' }>,
    context: ReadonlyMap<string, readonly string[]>,
  ): boolean {
    const accountNames = [account.id, `arn:aws:iam::${account.id}:root`]
    const callerRole = roleOf(account, caller)
    const own = callerRole ? [caller.arn, callerRole.arn] : []
    const all = trusts(role, 'sts:AssumeRole', 'AWS', [...own, ...accountNames], context)
    if (all !== 'allow') return false
    if (own.length > 0 && trusts(role, 'sts:AssumeRole', 'AWS', own, context) === 'allow') return true
    return decide(account, caller, { action: 'sts:AssumeRole', resource: roleArn }, context) === 'allow'
  }

  function trusts(
    role: Role,
    action: string,
    type: string,
    names: readonly string[],
    context: PolicyRequest['context'],
  ) {
    return evaluate([role.trust.policy], { action, resource: role.arn, context, principal: { type, names } })
  }

  function findRole(arn: string): Role | undefined {
    const role = account.roles.get(arn.slice(arn.lastIndexOf('/') + 1))
    return role?.arn === arn ? role : undefined
  }

  function startSession(role: Role, session: string, requested: number, parameters: Parameters) {
    if (requested > role.maxSessionSeconds) {
      throw validationError('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
    }
    const policyText = parameters.get('Policy')
    const sessionPolicy = policyText === undefined ? undefined : readPolicy(policyText, 'identity').policy
    const arn = `arn:aws:sts::${account.id}:assumed-role/${role.name}/${session}`
    const userId = `${role.id}:${session}`
    const key = keys.issue(
      {
        kind: 'assumed-role',
        arn,
        userId,
        roleName: role.name,
        roleId: role.id,
        sessionName: session,
        ...(sessionPolicy === undefined ? {} : { sessionPolicy }),
      },
      clock.now() + requested * 1000,
    )
    return {
      Credentials: {
        AccessKeyId: key.id,
        SecretAccessKey: key.secret.revealText(),
        SessionToken: key.sessionToken.revealText(),
        Expiration: new Date(key.expiresAt).toISOString().replace(/\.\d+/, ''),
      },
      AssumedRoleUser: { AssumedRoleId: userId, Arn: arn },
    }
  }

  function callerIdentity(caller: Principal): XmlValue {
    if (caller.kind === 'anonymous') throw new TypeError('GetCallerIdentity is never run unsigned')
    return { UserId: caller.userId, Account: account.id, Arn: caller.arn }
  }

  const actions: Readonly<
    Record<string, (parameters: Parameters, caller: Principal) => XmlValue | Promise<XmlValue>>
  > = {
    [unsignedAction]: assumeRoleWithWebIdentity,
    AssumeRole: assumeRole,
    GetCallerIdentity: (_parameters, caller) => callerIdentity(caller),
  }

  return {
    plan(call: Call): Operation {
      const parameters = readParameters(call)
      const name = parameters.get('Action') ?? ''
      const action = Object.hasOwn(actions, name) ? actions[name] : undefined
      if (!action)
        throw new AwsError(400, 'InvalidAction', `Could not find operation ${name} for version 2011-06-15`)
      return {
        name,
        // Trust policies decide here, not the caller's own.
        permissions: [],
        run: async (caller) => queryAnswer('sts', name, await action(parameters, caller)),
      }
    },
  }
}

function readDuration(parameters: Parameters): number {
  const text = parameters.get('DurationSeconds')
  if (text === undefined) return defaultSessionSeconds
  const seconds = Number(text)
  if (/^\d{1,6}$/.test(text) && seconds >= minSessionSeconds && seconds <= 43_200) return seconds
  throw validationError(
    `1 validation error detected: Value '${text}' at 'durationSeconds' failed to satisfy constraint: ` +
      `Member must have value between ${minSessionSeconds} and 43200`,
  )
}
