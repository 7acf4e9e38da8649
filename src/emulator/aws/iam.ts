import type { Account } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { Service } from './call.ts'
import type { IamActions } from './iam-action.ts'
import { policyActions } from './iam-policies.ts'
import { providerActions } from './iam-providers.ts'
import { roleActions } from './iam-roles.ts'
import { queryAnswer } from './query-answer.ts'
import { readParameters } from './query-parameters.ts'

const actions: IamActions = { ...providerActions, ...roleActions, ...policyActions }

/** AWS IAM: OIDC providers, roles, inline and managed policies. Changes hold at once (AWS takes seconds). */
export function openIam(account: Account): Service {
  return {
    plan(call) {
      const parameters = readParameters(call)
      const name = parameters.get('Action') ?? ''
      const action = Object.hasOwn(actions, name) ? actions[name] : undefined
      if (!action)
        throw new AwsError(400, 'InvalidAction', `Could not find operation ${name} for version 2010-05-08`)
      return {
        name,
        permissions: [{ action: `iam:${name}`, resource: action.resource(account, parameters) }],
        run: () => queryAnswer('iam', name, action.run(account, parameters, call.at)),
      }
    },
  }
}
