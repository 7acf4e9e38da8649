import type { Service } from '#model/resource'
import { enumerate, judge, unsupportedIn, type DesiredStatus } from './desired-status.ts'
import { scopedName } from './plan.ts'
import type { World } from './world.ts'

export function judgeService(object: Service, { plan, reports }: World): DesiredStatus<'Service'> {
  const name = scopedName(object.metadata)
  const bindings = [...(plan.bindingsOfService.get(name) ?? [])].map(({ scoped }) => scoped.name).sort()
  const bound =
    bindings.length === 0
      ? judge('Bound', 'False', 'NoBinding', 'no CredentialBinding that is in force selects it')
      : judge('Bound', 'True', 'Selected', `selected by CredentialBinding ${enumerate(bindings)}`)
  const reported = reports.about(object)
  const unsupported = unsupportedIn(object)
  const problem = [...reported, ...unsupported][0]
  return {
    state: problem ? 'FAILED' : 'OK',
    message: (problem ?? bound).message,
    conditions: [bound, ...reported, ...unsupported],
  }
}
