import { quotas, readPolicy, type Account, type Role } from './account.ts'
import { AwsError } from './aws-error.ts'
import { newId } from './credentials.ts'
import type { IamActions } from './iam-action.ts'
import { validationError, type Parameters } from './query-parameters.ts'
import { encodeRfc3986 } from '#emulator/sigv4'
import type { XmlValue } from './xml.ts'

const name = { pattern: /^[\w+=,.@-]+$/, max: 64 }
const defaultMaxSessionSeconds = 3600

export function findRole(account: Account, parameters: Parameters): Role {
  const roleName = parameters.require('RoleName', name)
  const role = account.roles.get(roleName)
  if (!role) throw new AwsError(404, 'NoSuchEntity', `The role with name ${roleName} cannot be found.`)
  return role
}

export const roleResource = (account: Account, parameters: Parameters): string =>
  account.roles.get(parameters.get('RoleName') ?? '')?.arn ??
  `arn:aws:iam::${account.id}:role/${parameters.get('RoleName') ?? ''}`

function describe(role: Role): XmlValue {
  return {
    Path: role.path,
    RoleName: role.name,
    RoleId: role.id,
    Arn: role.arn,
    CreateDate: new Date(role.createdAt).toISOString(),
    AssumeRolePolicyDocument: encodeRfc3986(role.trust.text),
    Description: role.description,
    MaxSessionDuration: role.maxSessionSeconds,
  }
}

function readMaxSession(parameters: Parameters): number | undefined {
  const text = parameters.get('MaxSessionDuration')
  if (text === undefined) return undefined
  const seconds = Number(text)
  if (/^\d+$/.test(text) && seconds >= 3600 && seconds <= 43_200) return seconds
  throw validationError('MaxSessionDuration must have value between 3600 and 43200')
}

/** Roles and their inline policies. */
export const roleActions: IamActions = {
  CreateRole: {
    resource: roleResource,
    run(account, parameters, at) {
      const roleName = parameters.require('RoleName', name)
      const path = parameters.get('Path') ?? '/'
      if (!/^\/(?:[\x21-\x7e]{1,510}\/)?$/.test(path))
        throw validationError('The specified value for path is invalid')
      if (account.roles.has(roleName)) {
        throw new AwsError(409, 'EntityAlreadyExists', `Role with name ${roleName} already exists.`)
      }
      if (account.roles.size >= quotas.roles) {
        throw new AwsError(409, 'LimitExceeded', `Cannot exceed quota for RolesPerAccount: ${quotas.roles}`)
      }
      const role: Role = {
        name: roleName,
        path,
        id: newId('AROA', 17),
        arn: `arn:aws:iam::${account.id}:role${path}${roleName}`,
        createdAt: at,
        description: parameters.get('Description'),
        trust: readPolicy(parameters.require('AssumeRolePolicyDocument'), 'trust'),
        maxSessionSeconds: readMaxSession(parameters) ?? defaultMaxSessionSeconds,
        inline: new Map(),
        attached: new Set(),
      }
      account.roles.set(roleName, role)
      return { Role: describe(role) }
    },
  },
  GetRole: {
    resource: roleResource,
    run: (account, parameters) => ({ Role: describe(findRole(account, parameters)) }),
  },
  ListRoles: {
    resource: () => '*',
    run: (account) => ({
      Roles: { member: [...account.roles.values()].map(describe) },
      IsTruncated: false,
    }),
  },
  UpdateRole: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      role.maxSessionSeconds = readMaxSession(parameters) ?? role.maxSessionSeconds
      return {}
    },
  },
  UpdateAssumeRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      findRole(account, parameters).trust = readPolicy(parameters.require('PolicyDocument'), 'trust')
      return undefined
    },
  },
  DeleteRole: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      if (role.attached.size > 0) {
        throw new AwsError(409, 'DeleteConflict', 'Cannot delete entity, must detach all policies first.')
      }
      if (role.inline.size > 0) {
        throw new AwsError(409, 'DeleteConflict', 'Cannot delete entity, must delete policies first.')
      }
      account.roles.delete(role.name)
      return undefined
    },
  },
  PutRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      const policyName = parameters.require('PolicyName', { ...name, max: 128 })
      const policy = readPolicy(parameters.require('PolicyDocument'), 'identity')
      const others = [...role.inline]
        .filter(([each]) => each !== policyName)
        .map(([, { text }]) => text.length)
      if (others.reduce((sum, length) => sum + length, policy.text.length) > quotas.inlineBytes) {
        throw new AwsError(
          409,
          'LimitExceeded',
          `Maximum policy size of ${quotas.inlineBytes} bytes exceeded`,
        )
      }
      role.inline.set(policyName, policy)
      return undefined
    },
  },
  GetRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      const policyName = parameters.require('PolicyName')
      const policy = role.inline.get(policyName)
      if (!policy) throw noInlinePolicy(policyName)
      return { RoleName: role.name, PolicyName: policyName, PolicyDocument: encodeRfc3986(policy.text) }
    },
  },
  ListRolePolicies: {
    resource: roleResource,
    run: (account, parameters) => ({
      PolicyNames: { member: [...findRole(account, parameters).inline.keys()] },
      IsTruncated: false,
    }),
  },
  DeleteRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      const policyName = parameters.require('PolicyName')
      if (!findRole(account, parameters).inline.delete(policyName)) throw noInlinePolicy(policyName)
      return undefined
    },
  },
}

function noInlinePolicy(policyName: string): AwsError {
  return new AwsError(404, 'NoSuchEntity', `The role policy with name ${policyName} cannot be found.`)
}
