import { Fault } from '#base/errors'
import {
  assumableByAnyLocalUser,
  definitionOf,
  invalidResource,
  subjectOf,
  type WorkloadIdentity,
} from '#model/resource'
import type { Admission } from '#server/store'

/**
 * Refuses a WorkloadIdentity whose workload ID another namespace has (security rule 18), and, where the setting
 * says so, one that any local user could assume (rule 11).
 */
export function identityAdmission({
  identities,
  weakIdentities,
}: {
  identities: () => readonly WorkloadIdentity[]
  weakIdentities: 'warn' | 'refuse'
}): Admission {
  return ({ operation, object }) => {
    if (object.kind !== 'WorkloadIdentity' || operation === 'delete') return []
    const { spec, metadata } = object
    const subject = subjectOf(definitionOf('WorkloadIdentity'), metadata.name)
    const owner = identities().find(
      (other) => other.spec.workloadID === spec.workloadID && other.metadata.namespace !== metadata.namespace,
    )
    if (owner) {
      const message = `Invalid value: ${JSON.stringify(spec.workloadID)}: belongs to namespace ${owner.metadata.namespace}`
      throw invalidResource(subject, [{ reason: 'FieldValueInvalid', field: 'spec.workloadID', message }])
    }
    if (weakIdentities === 'refuse' && assumableByAnyLocalUser(spec.selectors)) {
      const message = `${subject} could be assumed by any local user: add process:uid or systemd:unit to its selectors`
      throw new Fault('API_FORBIDDEN', message, { publicText: message })
    }
    return []
  }
}
