import { quotas, readPolicy, type Account, type ManagedPolicy } from './account.ts'
import { AwsError } from './aws-error.ts'
import { newId } from './credentials.ts'
import type { IamActions } from './iam-action.ts'
import { findRole, roleResource } from './iam-roles.ts'
import type { Parameters } from './query-parameters.ts'
import { encodeRfc3986 } from '#emulator/sigv4'
import type { XmlValue } from './xml.ts'

/** Every managed policy has this one version. */
const versionId = 'v1'

function find(account: Account, parameters: Parameters): ManagedPolicy {
  const arn = parameters.require('PolicyArn', { max: 2048 })
  const policy = account.policies.get(arn)
  if (!policy) throw new AwsError(404, 'NoSuchEntity', `Policy ${arn} does not exist or is not attachable.`)
  return policy
}

function attachments(account: Account, arn: string): number {
  return [...account.roles.values()].filter(({ attached }) => attached.has(arn)).length
}

function describe(account: Account, policy: ManagedPolicy): XmlValue {
  const createdAt = new Date(policy.createdAt).toISOString()
  return {
    PolicyName: policy.name,
    PolicyId: policy.id,
    Arn: policy.arn,
    Path: policy.path,
    DefaultVersionId: versionId,
    AttachmentCount: attachments(account, policy.arn),
    IsAttachable: true,
    CreateDate: createdAt,
    UpdateDate: createdAt,
  }
}

const resource = (_account: Account, parameters: Parameters) => parameters.get('PolicyArn') ?? '*'

/** Managed policies and their attachment to roles. */
export const policyActions: IamActions = {
  CreatePolicy: {
    resource: (account, parameters) =>
      `arn:aws:iam::${account.id}:policy/${parameters.get('PolicyName') ?? ''}`,
    run(account, parameters, at) {
      const name = parameters.require('PolicyName', { pattern: /^[\w+=,.@-]+$/, max: 128 })
      const path = parameters.get('Path') ?? '/'
      const arn = `arn:aws:iam::${account.id}:policy${path}${name}`
      if (account.policies.has(arn)) {
        throw new AwsError(409, 'EntityAlreadyExists', `A policy called ${name} already exists.`)
      }
      if (account.policies.size >= quotas.policies) {
        throw new AwsError(
          409,
          'LimitExceeded',
          `Cannot exceed quota for PoliciesPerAccount: ${quotas.policies}`,
        )
      }
      const document = readPolicy(parameters.require('PolicyDocument'), 'identity')
      const policy = { ...document, name, path, arn, id: newId('ANPA', 17), createdAt: at }
      account.policies.set(arn, policy)
      return { Policy: describe(account, policy) }
    },
  },
  GetPolicy: {
    resource,
    run: (account, parameters) => ({ Policy: describe(account, find(account, parameters)) }),
  },
  GetPolicyVersion: {
    resource,
    run(account, parameters) {
      const policy = find(account, parameters)
      if (parameters.require('VersionId') !== versionId) {
        throw new AwsError(404, 'NoSuchEntity', 'The policy has no such version.')
      }
      return {
        PolicyVersion: {
          Document: encodeRfc3986(policy.text),
          VersionId: versionId,
          IsDefaultVersion: true,
          CreateDate: new Date(policy.createdAt).toISOString(),
        },
      }
    },
  },
  DeletePolicy: {
    resource,
    run(account, parameters) {
      const { arn } = find(account, parameters)
      if (arn.startsWith('arn:aws:iam::aws:')) {
        throw new AwsError(403, 'AccessDenied', 'Policies managed by AWS cannot be deleted.')
      }
      if (attachments(account, arn) > 0) {
        throw new AwsError(409, 'DeleteConflict', 'Cannot delete a policy attached to entities.')
      }
      account.policies.delete(arn)
      return undefined
    },
  },
  AttachRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      const { arn } = find(account, parameters)
      if (role.attached.size >= quotas.attached && !role.attached.has(arn)) {
        throw new AwsError(
          409,
          'LimitExceeded',
          `Cannot exceed quota for PoliciesPerRole: ${quotas.attached}`,
        )
      }
      role.attached.add(arn)
      return undefined
    },
  },
  DetachRolePolicy: {
    resource: roleResource,
    run(account, parameters) {
      const role = findRole(account, parameters)
      const arn = parameters.require('PolicyArn')
      if (role.attached.delete(arn)) return undefined
      throw new AwsError(404, 'NoSuchEntity', `Policy ${arn} was not found.`)
    },
  },
  ListAttachedRolePolicies: {
    resource: roleResource,
    run: (account, parameters) => ({
      AttachedPolicies: {
        member: [...findRole(account, parameters).attached].map((arn) => ({
          PolicyName: arn.slice(arn.lastIndexOf('/') + 1),
          PolicyArn: arn,
        })),
      },
      IsTruncated: false,
    }),
  },
}
