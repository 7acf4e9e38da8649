import type { Service } from '#model/resource'
import { enumerate, judge, reportedOn, unsupportedIn, type DesiredStatus } from './desired-status.ts'
import { scopedName } from './plan.ts'
import type { World } from './world.ts'

export function judgeService(object: Service, { plan, reports }: World): DesiredStatus<'Service'> {
  const name = scopedName(object.metadata)
  const bindings = [...(plan.bindingsOfService.get(name) ?? [])].map(({ scoped }) => scoped.name)
  const bound =
    bindings.length === 0
      ? judge(
          'Bound',
          'False',
          'NoBinding',
          'no CredentialBinding that is in force selects it, so connections to it are left alone: create one, or see what keeps another from being OK',
        )
      : judge('Bound', 'True', 'Selected', `selected by CredentialBinding ${enumerate(bindings)}`)
  const reported = reportedOn(object, reports)
  const unsupported = unsupportedIn(object)
  const problem = [...reported, ...unsupported][0]
  return {
    state: problem ? 'FAILED' : 'OK',
    message: (problem ?? bound).message,
    conditions: [bound, ...reported, ...unsupported],
  }
}
